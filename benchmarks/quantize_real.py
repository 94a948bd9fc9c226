"""What is left of real trained models in 8 bits, and is it faster? A transformer and an LSTM.

    python -m benchmarks.quantize_real

Exports a sentence encoder (all-MiniLM-L6-v2) and a speaker encoder (three LSTM layers), quantizes
each as `edgekit quantize` does and as ONNX Runtime's own functions do when they are told nothing
else, and holds all against the float model: cosine on held-out cases, and speed in interleaved
rounds. The bar: a cosine of 0.99 on the mean and faster than fp32, or it says that nothing is both.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.paired import write_result
from benchmarks.quantize_judging import (
    Nearness,
    Timed,
    as_markdown,
    command,
    held_out,
    naive,
    nearness,
    read_result,
    timed,
    verdict_of,
)
from benchmarks.quantize_materials import Missing, gather
from edgekit.measure.plan import Plan
from edgekit.package import reading
from edgekit.tensors import Case

NAME = "quantize_real"
NETWORKS = Path(__file__).with_name("quantize_networks.py")
FOLDER = Path("build") / "quantize-real"
MODELS: dict[str, str] = {
    "speaker": "three LSTM layers of 256 (Resemblyzer's speaker encoder)",
    "sentences": "BERT of six layers and width 384 (all-MiniLM-L6-v2)",
}
SCHEMES = ("int8-dynamic", "int8-static", "int8-weight")
BUDGETED = ("int8-dynamic", "int8-static")
"""Made again with nodes left in float, where they fall below the bar."""
BAR = 0.99
USUAL = Plan(starts=5, rounds=4, turn_s=0.05, warm_up_s=0.1)
QUICK = Plan(starts=2, rounds=2, turn_s=0.02, warm_up_s=0.02)
QUICK_CASES = 12


HEAD = ("", "cosine", "worst", "speed", "p50 ms", "MB", "of the budget")
WIDTHS = (20, 7, 7, 20, 7, 6, 10)


class Row(msgspec.Struct, frozen=True):
    """One way to a smaller model, and what came of it; `problem` says why nothing did.

    `nearness` is to the float model, `size_bytes` that of the file. `by_edgekit` tells ours from
    what ONNX Runtime's own functions made. `verdict` is what edgekit rules of the
    budget, `said` its sentence.
    """

    label: str
    by_edgekit: bool
    problem: str = ""
    size_bytes: int = 0
    nearness: Nearness | None = None
    timed: Timed | None = None
    verdict: str = ""
    said: str = ""
    kept_float: int = 0


class Judged(msgspec.Struct, frozen=True):
    """A model, all its rows, and the fastest of edgekit's inside the bar; "" where none is."""

    model: str
    what: str
    rows: list[Row]
    best: str
    said: str


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"keeps files ({FOLDER})")
    parser.add_argument("--wheels", type=Path, help="what pip downloaded before")
    parser.add_argument("--fresh", action="store_true", help="export again what is there")
    parser.add_argument(
        "--quick", action="store_true", help="a few cases and rounds; keeps nothing"
    )
    parser.add_argument("--markdown", action="store_true", help="print the tables of the result")
    options = parser.parse_args()
    if options.markdown:
        print(markdown(msgspec.convert(read_result(NAME)["models"], list[Judged])))
        return 0
    try:
        materials = gather(options.folder, wheels=options.wheels)
    except Missing as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    judged = []
    for model in options.models:
        package = exported(model, materials, fresh=options.fresh)
        with tempfile.TemporaryDirectory(prefix="edgekit-quantize-") as scratch:
            judged.append(judge(model, package, Path(scratch), quick=options.quick))
    report(judged)
    if not options.quick:
        path = write_result(NAME, {"bar": {"cosine": BAR, "speedup": 1.0}, "models": judged})
        print(f"kept in {path}", file=sys.stderr)
    return 0


def exported(model: str, materials: Path, *, fresh: bool) -> Path:
    """Export a model through the command, unless an earlier run did."""
    package = materials / f"{model}.edgekit"
    if fresh or not package.exists():
        target = f"{NETWORKS}:{model}"
        wanted = ("-p", f"folder={materials}", "-o", str(package), "--overwrite")
        _, problem = command("export", target, *wanted)
        if problem:
            raise SystemExit(f"Error: {target} could not be exported: {problem}")
    return package


def judge(model: str, package: Path, scratch: Path, *, quick: bool) -> Judged:
    """Make and measure all rows of a model."""
    own = scratch / package.name
    shutil.copytree(package, own)
    parent = own / reading.variant_named(reading.read(own), "portable").model
    cases = held_out(own, limit=QUICK_CASES if quick else None)
    made = {row.label: row for row in quantized(own, parent, cases)}
    files = {label: own / _model_of(own, label) for label, row in made.items() if not row.problem}
    files |= naive(parent, own, scratch)
    times = timed({"fp32": parent, **files}, cases[0].feed, QUICK if quick else USUAL)
    rows = [Row("fp32", by_edgekit=False, size_bytes=_size(parent), timed=times["fp32"])]
    rows += [row for row in made.values() if row.problem]
    rows += [
        msgspec.structs.replace(
            made.get(label, Row(label, by_edgekit=False)),
            size_bytes=_size(path),
            nearness=nearness(path, parent, cases),
            timed=times[label],
        )
        for label, path in files.items()
    ]
    best = inside(rows)
    return Judged(model, MODELS[model], rows, best, said_of(rows, best))


def quantized(package: Path, parent: Path, cases: Sequence[Case]) -> list[Row]:
    """Add every variant to the package through the command; a budget leaves nodes in float."""
    rows = [made(package, scheme, scheme) for scheme in SCHEMES]
    far = [
        row.label
        for row in rows
        if not row.problem
        and nearness(package / _model_of(package, row.label), parent, cases).mean < BAR
    ]
    return rows + [
        made(package, f"{scheme}-budget", scheme, "--min-cosine", f"{BAR}")
        for scheme in BUDGETED
        if scheme in far
    ]


def made(package: Path, name: str, scheme: str, *further: str) -> Row:
    """Add one variant, and say what edgekit says of it."""
    document, problem = command(
        *("quantize", str(package), "--scheme", scheme, "--name", name), *further
    )
    if document is None:
        return Row(name, by_edgekit=True, problem=problem)
    there = any(variant.name == name for variant in reading.read(package).variants)
    said = document.get("quantized") or {}
    ruled = verdict_of(said)
    return Row(
        name,
        by_edgekit=True,
        problem="" if there else problem or "it was not added",
        verdict=ruled.ruling if ruled else "",
        said=ruled.sentence if ruled else problem,
        kept_float=len(said.get("kept") or {}),
    )


def inside(rows: list[Row]) -> str:
    """Name the fastest of edgekit's rows that keeps the bar and is faster than fp32 for sure."""
    fit = [
        (row.timed.speedup.value, row.label)
        for row in rows
        if row.by_edgekit
        and row.timed is not None
        and row.nearness is not None
        and row.nearness.mean >= BAR
        and row.timed.speedup.low > 1
    ]
    return max(fit)[1] if fit else ""


def said_of(rows: list[Row], best: str) -> str:
    """Say in a sentence whether the bar was reached."""
    if best:
        row = next(row for row in rows if row.label == best)
        assert row.timed is not None
        assert row.nearness is not None
        return (
            f"{best} keeps a cosine of {row.nearness.mean:.4f} (worst {row.nearness.worst:.4f}) "
            f"at ×{row.timed.speedup.value:.2f} of fp32's speed"
        )
    return f"nothing keeps a cosine of {BAR} and is faster than fp32 on this processor"


def _model_of(package: Path, variant: str) -> str:
    return reading.variant_named(reading.read(package), variant).model


def _size(model: Path) -> int:
    return sum(path.stat().st_size for path in model.parent.glob(f"{model.stem}.*"))


def report(judged: list[Judged]) -> None:
    """Print a table a model."""
    for model in judged:
        print(f"\n{model.model}: {model.what}")
        for line in lines(model):
            print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, WIDTHS, strict=False)))
        print(model.said)


def lines(judged: Judged) -> list[tuple[str, ...]]:
    """Lay out a model's table, its head first; a row without a file is short, with the reason."""
    made: list[tuple[str, ...]] = [HEAD]
    for row in judged.rows:
        if row.problem or row.timed is None:
            made.append((row.label, row.problem))
            continue
        near, speed = row.nearness, row.timed.speedup
        made.append(
            (
                row.label,
                f"{near.mean:.4f}" if near else "–",
                f"{near.worst:.4f}" if near else "–",
                f"×{speed.value:.2f} ({speed.low:.2f}–{speed.high:.2f})" if near else "×1",
                f"{row.timed.p50_ms:.2f}",
                f"{row.size_bytes / 1e6:.1f}",
                row.verdict or "–",
            )
        )
    return made


def markdown(judged: list[Judged]) -> str:
    """Write the tables for the README, each under what it is of."""
    return "\n\n".join(
        f"**{model.what}**: {model.said}.\n\n{as_markdown(lines(model))}" for model in judged
    )


if __name__ == "__main__":
    sys.exit(main())
