"""Time a model beside the one that it was made from, in one run of interleaved rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from edgekit import machine as machines
from edgekit.measure.bench import time_candidates
from edgekit.measure.feeds import timing_feed
from edgekit.measure.plan import Candidate, Plan
from edgekit.measure.results import Bench
from edgekit.measure.statistics import speedup
from edgekit.measure.ways import How, variant_call
from edgekit.metrics import Estimate
from edgekit.package.values import PORTABLE
from edgekit.tensors import Feed, Signature, resize

_BRIEF_STARTS, _BRIEF_ROUNDS = 2, 3


class Race(msgspec.Struct, frozen=True):
    """What a model gained: `faster` says that the whole interval does."""

    speedup: Estimate
    bench: Bench

    @property
    def faster(self) -> bool:
        """Whether even the interval's low end is a gain."""
        return self.speedup.low > 1.0


class Course(msgspec.Struct, frozen=True):
    """What races are run on: one feed, the sizes in it, how much to measure."""

    feed: Feed
    sizes: dict[str, int]
    rows: int
    plan: Plan
    how: How = How()

    def briefly(self) -> Course:
        """Give the same course with as little measured as tells faster from slower."""
        starts, rounds = min(self.plan.starts, _BRIEF_STARTS), min(self.plan.rounds, _BRIEF_ROUNDS)
        plan = msgspec.structs.replace(self.plan, starts=starts, rounds=rounds)
        return msgspec.structs.replace(self, plan=plan)


def course(signature: Signature, example: Feed, *, sizes: Mapping[str, int], plan: Plan) -> Course:
    """Bring an example to the sizes that a variant is fixed to, its batch to 1 where it isn't.

    Raises:
        BadValue: a size that the model doesn't take.
    """
    feed: Feed = resize(signature, example, sizes)
    rows = 1
    if "batch" in sizes:
        rows = sizes["batch"]
        timed = dict(sizes)
    else:
        feed, timed, rows = timing_feed(signature, feed, batch=None)
    return Course(feed, {**timed, **sizes}, rows, plan)


def race(
    before: Path,
    after: Path,
    *,
    names: tuple[str, str],
    on: Course,
    random: frozenset[str] = frozenset(),
    progress: Callable[[int, int], None] | None = None,
) -> Race:
    """Time two .onnx files beside each other.

    Args:
        before: the baseline.
        after: what was made from it.
        names: their labels in the samples.
        on: what they are fed, and how much is measured.
        random: outputs that are drawn at random.
        progress: called with the turns done and the turns in all.

    Raises:
        ModelFileError, RunFailed, WorkerError: one of them can't be run.
    """
    candidates = [
        Candidate(name, variant_call(path, PORTABLE, on.how), path.stat().st_size)
        for name, path in zip(names, (before, after), strict=True)
    ]
    timings = time_candidates(candidates, on.feed, plan=on.plan, random=random, progress=progress)
    baseline, other = timings.measurements
    found = speedup(
        [start.rounds for start in baseline.starts], [start.rounds for start in other.starts]
    )
    bench = Bench(
        name=names[1],
        baseline=names[0],
        baseline_is="the model without the pass",
        metric="closeness",
        sizes=on.sizes,
        batch=on.rows,
        threads=on.how.session.threads or machines.threads_available(),
        machine=machines.describe(),
        plan=on.plan,
        measurements=timings.measurements,
        left_out=timings.left_out,
    )
    return Race(found, bench)
