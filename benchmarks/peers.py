"""Is edgekit as fast as the best of what a user would pick instead, at equal accuracy?

    python -m benchmarks.peers --openvino-python build/openvino/bin/python

On every model: PyTorch (eager and compiled), ONNX Runtime (fp32, and its int8 with default
options), OpenVINO's own runtime (fp32, bf16, int8 by NNCF) and edgekit (float, and what `edgekit
tune` chose), all in one run, two threads and a process each, interleaved. What was measured is
kept beside that of other machines. benchmarks/README.md says how to make the environments.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

import msgspec
from rich.console import Console

from benchmarks.paired import RESULTS
from benchmarks.peers_engines import THREADS
from benchmarks.peers_models import MODELS, prepare
from benchmarks.peers_race import Plan, race
from benchmarks.peers_tables import lines, markdown, parts, verdict
from benchmarks.peers_values import Results, keep, path_here, read
from edgekit import machine
from edgekit.hardware import usable_cores
from edgekit.terms import Scheme, members

FOLDER = Path("build/peers")


def main(arguments: list[str] | None = None) -> int:
    plan = Plan()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--openvino-python", help="an interpreter with openvino and nncf")
    parser.add_argument(
        "--schemes",
        nargs="*",
        choices=members(Scheme),
        default=[],
        help="also race edgekit's variants of these schemes",
    )
    parser.add_argument(
        "--tune-s", type=float, default=120.0, help="the time limit of a search, 0 for none (120)"
    )
    parser.add_argument("--only", nargs="+", help="race these rows alone, and eager PyTorch")
    parser.add_argument("--starts", type=int, default=plan.starts, help="fresh processes each (6)")
    parser.add_argument("--rounds", type=int, default=plan.rounds, help="rounds a start (4)")
    parser.add_argument("--turn-s", type=float, default=plan.turn_s, help="seconds a turn (0.06)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"what is made once ({FOLDER})")
    parser.add_argument("--fresh", action="store_true", help="make everything in it again")
    parser.add_argument("--output", type=Path, help="write elsewhere than to benchmarks/results")
    parser.add_argument("--markdown", action="store_true", help="print the tables of all machines")
    options = parser.parse_args(arguments)
    if options.markdown:
        print(all_tables())
        return 0
    if options.fresh:
        shutil.rmtree(options.folder, ignore_errors=True)
    if len(cores := sorted(usable_cores())) > THREADS and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores[:THREADS])  # of all processes: no search finds more either
    here = machine.describe()
    output = options.output or path_here(here)
    before = read(output).raced if output.exists() else {}
    results = Results(here, THREADS, before)
    plan = msgspec.structs.replace(
        plan, starts=options.starts, rounds=options.rounds, turn_s=options.turn_s
    )
    for name in options.models:
        folder = (options.folder / MODELS[name].folder).absolute()
        prepared = prepare(
            MODELS[name],
            folder,
            openvino_python=options.openvino_python,
            schemes=tuple(options.schemes),
            tune_s=options.tune_s,
            tell=tell,
        )
        engines = [
            one
            for place, one in enumerate(prepared.engines)
            if not options.only or place == 0 or one.label in options.only
        ]
        raced = race(name, engines, prepared.cases, plan=plan, folder=folder, tell=tell)
        whole = msgspec.structs.replace(raced, left_out=raced.left_out | prepared.left_out)
        order = {**results.raced, name: whole}
        known = {model: order[model] for model in MODELS if model in order}
        results = msgspec.structs.replace(results, raced=known)
        keep(output, results)
    report(results)
    tell(f"kept in {output}")
    return 0


def all_tables() -> str:
    """Write the tables of every machine that was measured, for the README."""
    return "\n\n".join(markdown(read(path)) for path in sorted(RESULTS.glob("peers-*.json")))


def report(results: Results) -> None:
    """Print a machine's tables, what they come to, and why rows are missing."""
    from rich.table import Table

    console = Console(highlight=False, markup=False, width=200)
    for part in parts(results):
        head, *rows = lines(part)
        table = Table(*head, box=None)
        for row in rows:
            table.add_row(*(cell.replace("*", "").replace("~~", "") for cell in row))
        console.print(table)
        console.print(verdict(part))
    for model, raced in results.raced.items():
        for label, reason in raced.left_out.items():
            console.print(f"{model}: {label} is left out: {reason}")


def tell(text: str) -> None:
    """Say on stderr what is being done."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
