"""Race candidates against the float variant: ratios inside a round, and the faster half goes on.

Sequential halving (Karnin, Koren and Somekh, "Almost optimal exploration in multi-armed bandits",
2013; for tuning: Jamieson and Talwalkar, 2016): every race gives those that are left more starts
than the one before, so that most of the time goes to those that could win.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec

from edgekit import machine as machines
from edgekit.machine import Machine
from edgekit.measure import statistics
from edgekit.measure.bench import QUIET_S, time_candidates
from edgekit.measure.plan import Candidate, Plan
from edgekit.measure.results import Bench, LeftOut, Measurement
from edgekit.measure.subjects import Subject
from edgekit.measure.ways import How, variant_call
from edgekit.metrics import Estimate
from edgekit.package import reading
from edgekit.tensors import Dataset, Feed
from edgekit.terms import Metric
from edgekit.tune.ways import Way

FINALISTS = 4
SLACK = 0.85
"""Who reaches this share of the last speedup that goes on goes on, too: measured, the speed of a
process differs from the next one's by 9 %."""
_MOST_AT_ONCE = 10
_WORKER_MB = 150
_COPIES = 3
"""How many times its size a loaded model takes, while it is loaded, at most."""


class Track(msgspec.Struct, frozen=True):
    """What all races of one search have in common: the subject, what goes in, and the baseline."""

    subject: Subject
    baseline: Way
    feed: Feed
    sizes: dict[str, int]
    batch: int
    machine: Machine
    metric: Metric
    wall_s: float


class Race(msgspec.Struct, frozen=True):
    """One race: a bench for each group that ran together, each with the baseline in it."""

    benches: tuple[Bench, ...]

    @property
    def speedups(self) -> dict[str, Estimate]:
        """Say how many times faster than the baseline each candidate was, by its label."""
        found = {}
        for bench in self.benches:
            first, *others = bench.measurements
            for one in others:
                found[one.label] = statistics.speedup(_rounds(first), _rounds(one))
        return found

    @property
    def starts(self) -> int:
        """Count the starts that everyone had."""
        return min(len(bench.measurements[0].starts) for bench in self.benches)

    @property
    def measured(self) -> dict[str, Measurement]:
        """List what was measured of each candidate, and of the baseline, by label."""
        return {one.label: one for bench in self.benches for one in bench.measurements}

    @property
    def left_out(self) -> list[LeftOut]:
        """List who couldn't be opened or run, and why."""
        return [left for bench in self.benches for left in bench.left_out]


def _rounds(measurement: Measurement) -> list[list[list[int]]]:
    return [start.rounds for start in measurement.starts]


def plan_of(stage: int, *, last: bool, wall_s: float) -> Plan:
    """Say how much is measured in a race: more of fewer candidates from one to the next."""
    if last:
        return Plan(wall_s=wall_s, seed=stage)
    return Plan(
        starts=2 + (stage - 1) // 2, rounds=3, turn_s=0.05, warm_up_s=0.1, wall_s=wall_s, seed=stage
    )


def race(
    track: Track,
    ways: Sequence[Way],
    plan: Plan,
    *,
    evaluation: Dataset | None = None,
    enough: Callable[[], bool] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Race:
    """Time candidates beside the baseline, in groups that fit the memory.

    Args:
        track: what all races have in common.
        ways: the candidates; the baseline runs in every group, named here or not.
        plan: how much to measure.
        evaluation: cases to measure the accuracy of each on.
        enough: asked after each start whether those that are done will do.
        progress: called with the turns done and the turns in all.

    Raises:
        EdgekitError: the baseline can't be run.
    """
    others = [way for way in ways if way != track.baseline]
    most = at_once(track)
    groups = [others[i : i + most] for i in range(0, len(others), most)] or [[]]
    benches = []
    for index, group in enumerate(groups):

        def step(done: int, of: int, before: int = index) -> None:
            if progress is not None:
                progress(before * of + done, len(groups) * of)

        benches.append(_timed(track, group, plan, evaluation, enough, step))
    return Race(tuple(benches))


def at_once(track: Track) -> int:
    """Say how many candidates may stand beside each other, the baseline not counted."""
    package = track.subject.package
    assert package is not None
    largest = max(
        (sum(package.files[f].size for f in reading.files_of(v)) for v in package.variants),
        default=0,
    )
    each_mb = _WORKER_MB + _COPIES * largest / 2**20
    room = int(track.machine.memory_mb / 2 / each_mb) if track.machine.memory_mb else _MOST_AT_ONCE
    return max(1, min(_MOST_AT_ONCE, room) - 1)


def going_on(speedups: dict[str, Estimate], *, keep: int) -> list[str]:
    """Name those that go on, the fastest first: `keep` of them, and who is as good as the last.

    No more than half again as many go on as were to.
    """
    ordered = sorted(speedups, key=lambda label: -speedups[label].value)
    if len(ordered) <= keep:
        return ordered
    last = speedups[ordered[keep - 1]].value
    near = [label for label in ordered[keep:] if speedups[label].value >= SLACK * last]
    return ordered[:keep] + near[: math.ceil(keep / 2)]


def estimated_s(n: int, plan: Plan, *, load_s: float, call_s: float, cases: int = 0) -> float:
    """Estimate how long a race takes, in seconds.

    Args:
        n: how many run, the baseline among them.
        plan: how much is measured.
        load_s: from a fresh interpreter to the first answer.
        call_s: one call of the float variant.
        cases: how many cases accuracy is measured on.
    """
    turn_s = QUIET_S + max(plan.turn_s, 5 * call_s) + 3 * call_s
    each_s = load_s + 6 * call_s + max(plan.warm_up_s, call_s) + plan.rounds * turn_s
    return n * (plan.starts * each_s + cases * (call_s + 5e-4))


def _timed(
    track: Track,
    ways: Sequence[Way],
    plan: Plan,
    evaluation: Dataset | None,
    enough: Callable[[], bool] | None,
    progress: Callable[[int, int], None],
) -> Bench:
    subject = track.subject
    assert subject.package is not None
    candidates = [
        _candidate(track, track.baseline, optional=False),
        *(_candidate(track, way, optional=True) for way in ways),
    ]
    timings = time_candidates(
        candidates,
        track.feed,
        plan=plan,
        evaluation=evaluation,
        metric=track.metric,
        enough=enough,
        progress=progress,
    )
    return Bench(
        name=subject.package.name,
        baseline=track.baseline.label,
        baseline_is="the float variant in its usual session",
        metric=track.metric,
        sizes=track.sizes,
        batch=track.batch,
        threads=machines.threads_available(),
        machine=track.machine,
        plan=plan,
        measurements=timings.measurements,
        left_out=timings.left_out,
    )


def _candidate(track: Track, way: Way, *, optional: bool) -> Candidate:
    package = track.subject.package
    assert package is not None
    variant = reading.variant_named(package, way.variant)
    return Candidate(
        label=way.label,
        call=variant_call(track.subject.path, way.variant, How(way.session)),
        size_bytes=sum(package.files[file].size for file in reading.files_of(variant)),
        optional=optional,
    )
