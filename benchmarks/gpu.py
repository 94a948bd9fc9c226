"""How fast are models on a GPU through ONNX Runtime, beside PyTorch at its best?

    python -m benchmarks.gpu

The reference models, ResNet-50, ViT-S and an encoder of BERT's size run under PyTorch (eager and
compiled, fp32 and fp16), ONNX Runtime's CUDA provider (fp32, fp16, fp16 with CUDA graphs) and
TensorRT (fp16), at batches 1 and 32, once with arrays on the device and once with the copies from
the host and back. All rows of a table are interleaved, each in processes of its own, TF32 off on
both sides. What is done is kept after each step, and a later run goes on from there. Where there is
no GPU it says so and ends; `--provider cpu --models tiny --output FILE` goes through its steps.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from benchmarks import gpu_models, gpu_tables, gpu_timing
from benchmarks.gpu_goals import verdicts
from benchmarks.gpu_run import Run
from benchmarks.gpu_settings import Settings
from benchmarks.gpu_values import Results, key, read
from benchmarks.gpu_ways import BASELINE, WAYS
from benchmarks.paired import RESULTS
from edgekit.errors import EdgekitError
from edgekit.measure.plan import Plan
from edgekit.measure.ways import How, each_memory, settle
from edgekit.package.values import SessionChoice
from edgekit.report.figures import count
from edgekit.terms import Memory, members

OUTPUT = RESULTS / "gpu.json"
PACKAGES = Path(__file__).parents[1] / "build" / "gpu"
PROVIDER = "cuda"
TF32_OFF = (
    "off on both sides: NVIDIA_TF32_OVERRIDE=0 in every process, use_tf32=0 for the CUDA provider, "
    "torch.backends.*.allow_tf32=False"
)
WIDTH = 200


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.markdown:
        print(gpu_tables.not_measured(read(options.output or OUTPUT), gpu_models.MODELS))
        return 0
    if options.provider != PROVIDER and options.output is None:
        parser.error(f"{OUTPUT.name} holds figures of {PROVIDER} alone: name a file with --output")
    if options.starts % gpu_timing.PART_STARTS or options.starts < gpu_timing.PART_STARTS:
        parser.error("--starts must be even, and 2 at least")
    try:
        how, _ = settle(How(SessionChoice(provider=options.provider)))
        memories = each_memory(how)
        lacking = "" if options.wheelhouse is None else _lacking(options.wheelhouse)
        results = Results() if options.fresh else read(options.output or OUTPUT)
    except (EdgekitError, OSError) as error:
        print(f"Nothing is measured: {error}", file=sys.stderr)
        if options.provider == PROVIDER:
            print(
                "The steps can be tried on a processor: python -m benchmarks.gpu --provider cpu "
                "--models tiny --output build/gpu-smoke.json",
                file=sys.stderr,
            )
        return 1
    settings = Settings(
        provider=options.provider,
        models=options.models or list(gpu_models.MODELS),
        ways=[way for way in WAYS if way is BASELINE or way.name in options.only],
        batches=options.batch,
        # The device first: what the goals are about.
        arrays=sorted(m.arrays for m in memories if m.arrays in options.arrays),
        starts=options.starts,
        plan=Plan(rounds=options.rounds, turn_s=options.turn_s, starts=gpu_timing.PART_STARTS),
        row_limit_s=options.row_limit_s,
        until=time.monotonic() + options.limit_s,
        again=options.again,
        packages=options.packages,
        output=options.output or OUTPUT,
        lacking=lacking,
    )
    if not settings.arrays:
        parser.error(f"{options.provider} has no memory of its own: time it with --arrays host")
    tf32 = TF32_OFF if options.provider == PROVIDER else "none: nothing runs on a GPU of NVIDIA's"
    run = Run(settings, msgspec.structs.replace(results, tf32=tf32))
    still_open = run.go()
    return _said(run.results, settings, still_open)


def _said(results: Results, settings: Settings, still_open: int) -> int:
    """Print what there is, and fail on a goal that was missed or an answer that is another."""
    console = Console(highlight=False, width=WIDTH)
    units = [
        results.units[name] for unit in settings.units() if (name := key(*unit)) in results.units
    ]
    gpu_tables.print_units(console, units)
    for model in settings.models:
        if model in results.problems:
            console.print(f"{model} has no package: {results.problems[model]}", markup=False)
    judged = verdicts(results, settings.models, provider=settings.provider)
    gpu_tables.print_goals(console, judged)
    print(f"TF32: {results.tf32}\nkept in {settings.output}", file=sys.stderr)
    if still_open:
        print(f"not finished: {count(still_open, 'table')}; run it again to go on", file=sys.stderr)
    benches = [unit.bench for unit in units if unit.bench is not None]
    otherwise = any(row.mismatch for bench in benches for row in bench.measurements)
    return 1 if otherwise or any(one.standing == "failed" for one in judged) else 0


def _lacking(manifest: Path) -> str:
    """Read what `benchmarks.wheelhouse` could not fetch."""
    left_out: dict[str, str] = json.loads(manifest.read_bytes()).get("left_out", {})
    said = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
    return f"Its libraries could not be fetched ({said})." if said else ""


def _parser() -> argparse.ArgumentParser:
    plan, names = Plan(), [way.name for way in WAYS]
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--provider", default=PROVIDER, help=f"the provider to time ({PROVIDER})")
    add(
        "--models",
        nargs="+",
        choices=list(gpu_models.known()),
        metavar="MODEL",
        help=f"{', '.join(gpu_models.MODELS)} (all); or {', '.join(gpu_models.SMOKE)}",
    )
    add(
        "--only",
        nargs="+",
        choices=names,
        default=names,
        metavar="ROW",
        help=f"these rows beside the first: {', '.join(names)} (all)",
    )
    add("--batch", type=int, nargs="+", default=list(gpu_tables.BATCHES), help="rows a call (1 32)")
    add(
        "--arrays",
        nargs="+",
        choices=members(Memory),
        default=list(members(Memory)),
        help="where inputs and outputs lie (both, a table each)",
    )
    add("--starts", type=int, default=4, help="fresh processes each, an even number (4)")
    add("--rounds", type=int, default=plan.rounds, help=f"rounds a start ({plan.rounds})")
    add("--turn-s", type=float, default=0.03, help="seconds a turn (0.03)")
    add(
        "--row-limit-s",
        type=float,
        default=300.0,
        help="leave a row out that takes longer to start, or for a turn (300)",
    )
    add("--limit-s", type=float, default=math.inf, help="begin nothing more after so many seconds")
    add("--packages", type=Path, default=PACKAGES, help="where packages are, or are exported to")
    add("--output", type=Path, help=f"the file of the results (results/{OUTPUT.name})")
    add("--wheelhouse", type=Path, help="a wheelhouse's manifest: what it lacks is said")
    add("--again", action="store_true", help="do what is asked for once more, done before or not")
    add("--fresh", action="store_true", help="forget what was done before")
    add("--markdown", action="store_true", help="print what isn't measured yet, run nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
