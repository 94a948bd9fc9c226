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
from typing import Any

import msgspec

from benchmarks.paired import write_result
from benchmarks.quantize_judging import (
    Counted,
    Timed,
    command,
    counted,
    held_out,
    knows,
    timed,
)
from edgekit.measure.plan import Plan
from edgekit.package import reading
from edgekit.terms import Scheme, members

NAME = "quantize_digits"
MODELS = ("cnn", "rnn", "attention", "transformer")
SCHEMES: tuple[Scheme, ...] = members(Scheme)  # type: ignore[assignment]
LIMIT_PP = 0.5
ELSEWHERE = ("fp16", "bf16")
"""Computed in float32 on a CPU, or not at all: neither counted nor timed here, but by edgekit."""
QUICK = Plan(starts=2, rounds=2, turn_s=0.01, warm_up_s=0.01)
USUAL = Plan(starts=5, rounds=4, turn_s=0.03, warm_up_s=0.03)


class Row(msgspec.Struct, frozen=True):
    """One model in one scheme; `problem` says why there is no such variant.

    `verdict` is what edgekit rules ("passed" where it says nothing else), `said` its sentence.
    """

    model: str
    scheme: str
    problem: str = ""
    verdict: str = ""
    said: str = ""
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
    options = parser.parse_args()
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
    ruling, sentence = verdict_of(said)
    return Row(
        model,
        scheme,
        verdict=ruling,
        said=sentence or problem,
        size_bytes=said["size_bytes"],
        float_bytes=said["parent_bytes"],
        kept_float=len(said["kept"]),
    )


def verdict_of(said: dict[str, Any]) -> tuple[str, str]:
    """Read edgekit's ruling out of its document; empty where it was given no budget."""
    verdicts = said.get("verdicts") or []
    if not verdicts:
        return "", ""
    first = verdicts[0]
    return str(first.get("ruling", "")), str(first.get("said", ""))


def report(rows: list[Row]) -> None:
    """Print a line a row."""
    print(f"{'':26} {'right':>6} {'drop':>7} {'at most':>8}  {'verdict':10} {'speed':>7}   size")
    for row in rows:
        head = f"{row.model:12} {row.scheme:13}"
        if row.problem:
            print(f"{head} {row.problem}")
            continue
        n = row.counted
        read = f"{n.right:6} {n.drop:6.2f}p {n.drop_high:7.2f}p" if n else " " * 24
        speed = f"×{row.timed.speedup.value:6.2f}" if row.timed else " " * 7
        share = f"{100 * row.size_bytes / row.float_bytes:5.0f} %"
        print(f"{head} {read}  {row.verdict or '–':10} {speed} {share}")


if __name__ == "__main__":
    sys.exit(main())
