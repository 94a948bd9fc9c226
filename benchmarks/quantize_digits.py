"""What do the reference models still read of the held-out digits in fewer bits?

    python -m benchmarks.quantize_digits

Exports the reference four, makes a variant of each with every scheme as
`edgekit quantize --max-drop 0.5pp` does, and counts what each reads of the 1,500 held-out digits
beside its float parent: the drop, how far it may be with 95 % confidence, what edgekit rules, the
size, and the speed in interleaved rounds where a CPU computes in that precision.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import msgspec

from benchmarks.paired import write_result
from benchmarks.quantize_judging import (
    Counted,
    Timed,
    as_markdown,
    command,
    counted,
    held_out,
    knows,
    read_result,
    timed,
    verdict_of,
)
from edgekit.measure.plan import Plan
from edgekit.metrics import Estimate
from edgekit.package import reading
from edgekit.terms import Scheme, members

NAME = "quantize_digits"
MODELS = ("cnn", "rnn", "attention", "transformer")
SCHEMES: tuple[Scheme, ...] = members(Scheme)  # type: ignore[assignment]
LIMIT_PP = 0.5
ELSEWHERE = ("fp16", "bf16")
"""A CPU computes them by way of float32 or not at all: only edgekit counts, with a stand-in."""
QUICK = Plan(starts=2, rounds=2, turn_s=0.01, warm_up_s=0.01)
USUAL = Plan(starts=5, rounds=4, turn_s=0.03, warm_up_s=0.03)


HEAD = ("model", "scheme", "right", "drop, pp", "at most", "verdict", "speed", "size")
WIDTHS = (12, 13, 6, 8, 8, 10, 20, 6)


class Row(msgspec.Struct, frozen=True):
    """One model in one scheme; `problem` says why there is no such variant.

    `verdict` is what edgekit rules, `said` its sentence and `drop` its estimate, a share of the
    digits; `counted` is counted here, without edgekit's measures.
    """

    model: str
    scheme: str
    problem: str = ""
    verdict: str = ""
    said: str = ""
    drop: Estimate | None = None
    counted: Counted | None = None
    timed: Timed | None = None
    size_bytes: int = 0
    float_bytes: int = 0
    kept_float: int = 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--schemes", nargs="+", choices=SCHEMES, default=list(SCHEMES))
    parser.add_argument("--quick", action="store_true", help="a few rounds; keeps nothing")
    parser.add_argument("--markdown", action="store_true", help="print the table of the result")
    options = parser.parse_args()
    if options.markdown:
        print(markdown(msgspec.convert(read_result(NAME)["rows"], list[Row])))
        return 0
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="edgekit-digits-") as scratch:
        for model in options.models:
            rows += judge(model, options.schemes, Path(scratch), quick=options.quick)
    report(rows)
    if not options.quick:
        path = write_result(NAME, {"limit_pp": LIMIT_PP, "rows": rows})
        print(f"kept in {path}", file=sys.stderr)
    return 0


def judge(model: str, schemes: list[Scheme], scratch: Path, *, quick: bool) -> list[Row]:
    """Export a model and try every scheme on it."""
    package = scratch / f"{model}.edgekit"
    _, problem = command("export", model, "-o", str(package))
    if problem:
        raise SystemExit(f"Error: {model} could not be exported: {problem}")
    rows = [quantized(model, scheme, package) for scheme in schemes]
    packed = reading.read(package)
    parent = package / reading.variant_named(packed, "portable").model
    here = {
        row.scheme: package / reading.variant_named(packed, row.scheme).model
        for row in rows
        if not row.problem and row.scheme not in ELSEWHERE
    }
    cases = held_out(package)
    times = timed({"fp32": parent, **here}, cases[0].feed, QUICK if quick else USUAL)
    return [
        msgspec.structs.replace(
            row,
            counted=counted(here[row.scheme], parent, cases) if row.scheme in here else None,
            timed=times.get(row.scheme),
        )
        for row in rows
    ]


def quantized(model: str, scheme: Scheme, package: Path) -> Row:
    """Add one variant, inside the budget where the command knows one."""
    budget = ("--max-drop", f"{LIMIT_PP}pp") if knows("--max-drop") else ()
    document, problem = command("quantize", str(package), "--scheme", scheme, *budget)
    packed = reading.read(package)
    if document is None or not any(variant.name == scheme for variant in packed.variants):
        return Row(model, scheme, problem=problem or "it was not added")
    said = document["quantized"]
    ruled = verdict_of(said)
    return Row(
        model,
        scheme,
        verdict=ruled.ruling if ruled else "",
        said=ruled.sentence if ruled else problem,
        drop=ruled.estimate if ruled else None,
        size_bytes=said["size_bytes"],
        float_bytes=said["parent_bytes"],
        kept_float=len(said["kept"]),
    )


def report(rows: list[Row]) -> None:
    """Print a line a row."""
    for line in lines(rows):
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, WIDTHS, strict=False)))


def lines(rows: list[Row]) -> list[tuple[str, ...]]:
    """Lay out a table, its head first; a row without a variant is short, with the reason."""
    made: list[tuple[str, ...]] = [HEAD]
    for row in rows:
        if row.problem:
            made.append((row.model, row.scheme, row.problem))
            continue
        drop = row.drop
        speed = row.timed.speedup if row.timed else None
        made.append(
            (
                row.model,
                row.scheme,
                f"{row.counted.right:,}" if row.counted else "–",
                f"{100 * drop.value:.2f}" if drop else "–",
                f"{100 * drop.high:.2f}" if drop else "–",
                row.verdict or "–",
                f"×{speed.value:.2f} ({speed.low:.2f}–{speed.high:.2f})" if speed else "–",
                f"{100 * row.size_bytes / row.float_bytes:.0f} %",
            )
        )
    return made


def markdown(rows: list[Row]) -> str:
    """Write the table for the README."""
    return as_markdown(lines(rows))


if __name__ == "__main__":
    sys.exit(main())
