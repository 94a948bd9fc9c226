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
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from benchmarks import gpu_models, gpu_tables, gpu_timing
from benchmarks.gpu_goals import verdicts
from benchmarks.gpu_models import Prepared, prepare
from benchmarks.gpu_values import EngineStarts, FirstStart, Results, Unit, joined, keep, key, read
from benchmarks.gpu_ways import BASELINE, WAYS, Way, asked, candidate, how_of, label, named
from benchmarks.paired import RESULTS
from edgekit.errors import EdgekitError
from edgekit.measure.plan import Candidate, Plan
from edgekit.measure.results import LeftOut
from edgekit.measure.ways import How, each_memory, settle
from edgekit.package.values import SessionChoice
from edgekit.terms import Memory, members

OUTPUT = RESULTS / "gpu.json"
PACKAGES = Path(__file__).parents[1] / "build" / "gpu"
PROVIDER = "cuda"
TF32_OFF = (
    "off on both sides: NVIDIA_TF32_OVERRIDE=0 in every process, use_tf32=0 for the CUDA provider, "
    "torch.backends.*.allow_tf32=False"
)
WIDTH = 200


class Settings(msgspec.Struct, frozen=True):
    """What a run was asked for."""

    provider: str
    models: list[str]
    ways: list[Way]
    batches: list[int]
    arrays: list[Memory]
    starts: int
    plan: Plan
    row_limit_s: float
    until: float
    again: bool
    packages: Path
    output: Path
    lacking: str = ""

    @property
    def out_of_time(self) -> bool:
        """Whether nothing more may be begun."""
        return time.monotonic() >= self.until


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
        ways=[way for way in WAYS if way is BASELINE or way.name in (options.only or _names())],
        batches=options.batch,
        # The device first: what the goals are about.
        arrays=sorted((m.arrays for m in memories if m.arrays in options.arrays), key="dh".find),
        starts=options.starts,
        plan=Plan(rounds=options.rounds, turn_s=options.turn_s, starts=gpu_timing.PART_STARTS),
        row_limit_s=options.row_limit_s,
        until=time.monotonic() + options.limit_s,
        again=options.again,
        packages=options.packages,
        output=options.output or OUTPUT,
        lacking=lacking,
    )
    return _run(results, settings)
