"""Is the interval of a speedup true? Many short benches of one pair, and who holds what they share.

    python -m benchmarks.interval_coverage --package cnn.edgekit

The pair is one model under two session options that differ truly and start quickly: ONNX Runtime's
graph optimizations on and off. Every bench is a whole one, with fresh processes, as `edgekit bench`
does it, only shorter. The pooled ratio is the median of the ratios of all starts of all benches. A
perfect 95 % interval holds it in 190 of 200 benches on average, and in fewer than 184 of 200 once
in a few hundred tries. What was done is kept after every bench, and a later run goes on from there.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.paired import RESULTS, write_result
from edgekit import machine
from edgekit.measure import statistics
from edgekit.measure.bench import Candidate, Plan, time_candidates
from edgekit.measure.subjects import open_subject
from edgekit.measure.ways import How, variant_call
from edgekit.metrics import Estimate
from edgekit.package.values import SessionChoice
from edgekit.terms import GraphLevel

NAME = "interval_coverage"
BAR = 184 / 200
LEVELS: tuple[GraphLevel, GraphLevel] = ("disabled", "all")
PLAN = Plan(turn_s=0.01, warm_up_s=0.03)


class OneBench(msgspec.Struct, frozen=True):
    """The ratio of every start, and the interval that the bench gave."""

    ratios: list[float]
    speedup: Estimate


class Conditions(msgspec.Struct, frozen=True):
    """What must be the same for benches to be counted together."""

    model_sha256: str
    speed_key: str
    threads: int
    levels: tuple[GraphLevel, GraphLevel]
    plan: Plan


class Result(msgspec.Struct, frozen=True):
    """What is kept. `plan.seed` is that of the first bench; each has the next one."""

    conditions: Conditions
    pooled_ratio: float
    contained: int
    of: int
    benches: list[OneBench]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--package", type=Path, required=True, help="a model package")
    parser.add_argument("--benches", type=int, default=200, help="how many in all (200)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so many")
    parser.add_argument("--threads", type=int, default=1, help="threads of either side (1)")
    parser.add_argument("--fresh", action="store_true", help="forget what was done before")
    options = parser.parse_args()
    until = time.monotonic() + 60 * options.minutes
    package = open_subject(options.package).package
    if package is None:
        parser.error("--package must be a model package")
    model = package.files[package.variants[0].model].sha256
    key = machine.speed_key(machine.describe())
    conditions = Conditions(model, key, options.threads, LEVELS, PLAN)
    done = [] if options.fresh else done_before(conditions)
    while len(done) < options.benches and time.monotonic() < until:
        done.append(bench(options.package, conditions, seed=len(done)))
        keep(conditions, done)
        show = done[-1].speedup
        print(
            f"{len(done)}/{options.benches}: ×{show.value:.3f} [{show.low:.3f}, {show.high:.3f}]",
            file=sys.stderr,
        )
    if not done:
        parser.error("--benches and --minutes leave no time for a single bench")
    result = summed_up(conditions, done)
    needed = math.ceil(BAR * result.of)
    print(
        f"{result.contained} of {result.of} intervals contain the pooled ratio "
        f"×{result.pooled_ratio:.3f}; at least {needed} must"
    )
    return 0 if result.contained >= needed else 1


def bench(package: Path, conditions: Conditions, *, seed: int) -> OneBench:
    """Time the pair once, in processes of this bench's own."""
    candidates = [
        Candidate(
            level,
            variant_call(
                package,
                "portable",
                How(SessionChoice(threads=conditions.threads, graph_level=level)),
            ),
        )
        for level in conditions.levels
    ]
    subject = open_subject(package)
    plan = msgspec.structs.replace(conditions.plan, seed=conditions.plan.seed + seed)
    feed = subject.cases[0].feed
    measured = time_candidates(candidates, feed, plan=plan).measurements
    slow, fast = ([start.rounds for start in one.starts] for one in measured)
    ratios = [
        float(np.median(np.divide(*pair)))
        for pair in zip(statistics.round_p50s(slow), statistics.round_p50s(fast), strict=True)
    ]
    return OneBench(ratios, statistics.speedup(slow, fast))


def summed_up(conditions: Conditions, benches: list[OneBench]) -> Result:
    """Pool the ratios of all starts, and count the intervals that hold their median."""
    pooled = float(np.median([ratio for one in benches for ratio in one.ratios]))
    contained = sum(one.speedup.low <= pooled <= one.speedup.high for one in benches)
    return Result(conditions, pooled, contained, len(benches), benches)


def keep(conditions: Conditions, benches: list[OneBench]) -> None:
    """Write what was done so far."""
    write_result(NAME, msgspec.to_builtins(summed_up(conditions, benches)))


def done_before(conditions: Conditions) -> list[OneBench]:
    """Read the benches of an earlier run under the same conditions; none if they differ."""
    path = RESULTS / f"{NAME}.json"
    if not path.exists():
        return []
    try:
        before = msgspec.json.decode(path.read_bytes(), type=Result)
    except msgspec.DecodeError as error:
        print(f"{path} cannot be read and is written anew: {error}", file=sys.stderr)
        return []
    return before.benches if before.conditions == conditions else []


if __name__ == "__main__":
    sys.exit(main())
