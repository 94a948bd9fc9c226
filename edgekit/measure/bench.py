"""Time candidates side by side: fresh processes, interleaved rounds, outputs checked on the way.

Engines in one process disturb each other through their thread pools, a process's memory layout
shifts its speed, and a shared machine's speed changes by the minute. So every candidate stands in
a worker of its own, made afresh for every start; in each round every worker has a turn, in random
order, after the others have been quiet; and only ratios inside a round are trusted.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from edgekit.errors import BadValue, EdgekitError, OriginalUnavailable
from edgekit.measure.quality import measure_quality
from edgekit.measure.results import LeftOut, Measurement, Quality, Start
from edgekit.metrics import Closeness, closeness, within
from edgekit.package.values import Tolerance
from edgekit.tensors import Array, Case, Dataset, Feed, RunFacts
from edgekit.terms import Metric
from edgekit.workers import Call, Worker

log = logging.getLogger("edgekit")

QUIET_S = 0.03
"""How long the others must have been quiet: an ONNX Runtime pool spins about 20 ms."""
MIN_STARTS, MIN_ROUNDS = 2, 1
_WARM_UP_S = 0.15
_MAX_WARM_UPS = 500
_TURN_WARM_UPS = 3
_MIN_CALLS, _MAX_CALLS = 5, 2000


class Candidate(msgspec.Struct, frozen=True):
    """Something to time: a label, and the call that opens it as a runner in a worker.

    An `optional` one that can't be opened is left out with its reason; any other is an error.
    `tolerance` holds, by output, how far its answers may be from the baseline's.
    """

    label: str
    call: Call
    size_bytes: int | None = None
    optional: bool = False
    tolerance: dict[str, Tolerance] = {}


class Plan(msgspec.Struct, frozen=True):
    """How much to measure. `turn_s` is what one turn of one candidate should last."""

    starts: int = 5
    rounds: int = 4
    turn_s: float = 0.1
    wall_s: float = 600.0
    seed: int = 0


class Timings(msgspec.Struct, frozen=True):
    """What the interleaved rounds gave: one measurement a candidate, those left out apart."""

    measurements: list[Measurement]
    left_out: list[LeftOut]


class _Turns:
    """What is gathered of one candidate over all starts."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.starts: list[Start] = []
        self.facts: RunFacts | None = None
        self.calls = 0
        self.worst: dict[str, Closeness] = {}
        self.mismatch = ""
        self.quality: Quality | None = None

    def measurement(self) -> Measurement:
        assert self.facts is not None
        return Measurement(
            label=self.candidate.label,
            facts=self.facts,
            starts=self.starts,
            size_bytes=self.candidate.size_bytes,
            against_original=self.worst,
            mismatch=self.mismatch,
            quality=self.quality,
        )


def time_candidates(
    candidates: list[Candidate],
    feed: Feed,
    *,
    plan: Plan,
    recorded: Case | None = None,
    evaluation: Dataset | None = None,
    metric: Metric = "closeness",
    progress: Callable[[int, int], None] | None = None,
) -> Timings:
    """Time all candidates on one feed; the first that can be opened is the baseline.

    Args:
        candidates: the baseline first.
        feed: the arrays that every timed call gets.
        plan: how many starts and rounds, and how long a turn.
        recorded: a reference case; an optional candidate whose answer to it is not the recorded
            one is left out, because it can't be the original.
        evaluation: held-out cases to measure quality on, once, in the last start.
        metric: how quality is judged.
        progress: called with the turns done and the turns in all.

    Raises:
        BadValue: fewer than two starts.
        EdgekitError: a candidate that isn't optional failed.
    """
    if plan.starts < MIN_STARTS or plan.rounds < MIN_ROUNDS:
        raise BadValue(
            what="the plan of a bench",
            asked=f"{plan.starts} starts of {plan.rounds} rounds",
            expected=f"at least {MIN_STARTS} starts of {MIN_ROUNDS} round",
        )
    shuffle = random.Random(plan.seed)
    turns = [_Turns(candidate) for candidate in candidates]
    left_out: list[LeftOut] = []
    for start in range(plan.starts):
        with contextlib.ExitStack() as stack:
            standing: list[tuple[_Turns, Worker, _Opening]] = []
            for entry in shuffle.sample(turns, len(turns)):
                worker = stack.enter_context(
                    Worker(
                        entry.candidate.label,
                        wall_s=plan.wall_s,
                        environment=entry.candidate.call.environment,
                    )
                )
                try:
                    opening = _open(worker, entry, feed, plan, recorded)
                except EdgekitError as error:
                    if not entry.candidate.optional or entry.starts:
                        raise
                    log.info("%s is left out: %s", entry.candidate.label, error)
                    left_out.append(LeftOut(entry.candidate.label, str(error)))
                    turns.remove(entry)
                    worker.close()
                else:
                    standing.append((entry, worker, opening))
            if not standing:
                raise BadValue(
                    what="a bench", asked="without candidates", expected="one that can be opened"
                )
            standing.sort(key=lambda one: turns.index(one[0]))
            _rounds(standing, feed, plan, shuffle, start=start, progress=progress)
            if start == plan.starts - 1 and evaluation is not None:
                _evaluate(standing, evaluation, metric)
    return Timings([entry.measurement() for entry in turns], left_out)


class _Opening(msgspec.Struct):
    """A start while it is being measured."""

    import_ms: float
    load_ms: float
    first_call_ms: float
    warm_up_ns: list[int]
    rounds: list[list[int]]


def _open(worker: Worker, entry: _Turns, feed: Feed, plan: Plan, recorded: Case | None) -> _Opening:
    opened = worker.open(entry.candidate.call)
    entry.facts = opened.facts
    first = worker.run(feed)
    if recorded is not None and entry.candidate.optional and not entry.starts:
        _refuse_other_answers(entry.candidate, worker, recorded)
    settled = worker.run(feed, calls=3, warm_ups=2)
    call_s = max(min(settled.durations_ns), 1) / 1e9
    # The same number of calls in every start, so that all rounds weigh alike.
    entry.calls = entry.calls or int(min(max(plan.turn_s / call_s, _MIN_CALLS), _MAX_CALLS))
    warm_ups = int(min(max(_WARM_UP_S / call_s, 1), _MAX_WARM_UPS))
    warm = worker.run(feed, calls=0, warm_ups=warm_ups)
    return _Opening(
        import_ms=opened.import_ms,
        load_ms=opened.load_ms,
        first_call_ms=first.durations_ns[0] / 1e6,
        warm_up_ns=[*settled.warm_up_ns, *settled.durations_ns, *warm.warm_up_ns],
        rounds=[],
    )


def _rounds(
    standing: list[tuple[_Turns, Worker, _Opening]],
    feed: Feed,
    plan: Plan,
    shuffle: random.Random,
    *,
    start: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    baseline = standing[0][0]
    total = plan.starts * plan.rounds * len(standing)
    done = start * plan.rounds * len(standing)
    for _ in range(plan.rounds):
        outputs: dict[str, dict[str, Array]] = {}
        for entry, worker, opening in shuffle.sample(standing, len(standing)):
            time.sleep(QUIET_S)
            timed = worker.run(feed, calls=entry.calls, warm_ups=_TURN_WARM_UPS)
            opening.rounds.append(timed.durations_ns)
            opening.warm_up_ns.extend(timed.warm_up_ns)
            outputs[entry.candidate.label] = timed.outputs
            done += 1
            if progress is not None:
                progress(done, total)
        for entry, _, _ in standing[1:]:
            _hold(entry, outputs[entry.candidate.label], outputs[baseline.candidate.label])
    for entry, worker, opening in standing:
        entry.starts.append(
            Start(
                import_ms=opening.import_ms,
                load_ms=opening.load_ms,
                first_call_ms=opening.first_call_ms,
                peak_mb=worker.peak_mb(),
                warm_up_ns=opening.warm_up_ns,
                rounds=opening.rounds,
            )
        )


def _hold(entry: _Turns, got: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    """Compare the outputs of the timed runs, in the same round, with the baseline's."""
    for output, array in expected.items():
        if output not in got or got[output].shape != array.shape:
            entry.mismatch = entry.mismatch or f"{output} is missing or has another shape"
            continue
        distance = closeness(got[output], array)
        worst = entry.worst.get(output)
        if worst is None or distance.max_abs_error > worst.max_abs_error:
            entry.worst[output] = distance
        tolerance = entry.candidate.tolerance.get(output)
        if tolerance is not None and not entry.mismatch:
            # Twice: the tolerance is around the exact answer, and the baseline is inexact as well.
            off = within(
                got[output], array, absolute=2 * tolerance.absolute, relative=tolerance.relative
            )
            entry.mismatch = f"{output}: {off}" if off is not None else ""


def _refuse_other_answers(candidate: Candidate, worker: Worker, recorded: Case) -> None:
    answers = worker.run(recorded.feed).outputs
    for output, expected in (recorded.outputs or {}).items():
        tolerance = candidate.tolerance.get(output, Tolerance(0.0, 1e-3))
        off = within(
            answers[output], expected, absolute=tolerance.absolute, relative=tolerance.relative
        )
        if off is not None:
            raise OriginalUnavailable(
                reason=f"{candidate.label} doesn't give the answers that the package recorded of "
                f"its original ({output}: {off}); export the package again"
            )


def _evaluate(
    standing: list[tuple[_Turns, Worker, _Opening]], evaluation: Dataset, metric: Metric
) -> None:
    """Measure every candidate's quality on the same cases, against the labels and the baseline."""
    original: Sequence[Mapping[str, Array]] | None = None
    for entry, worker, _ in standing:
        log.info("measuring %s on %d cases", entry.candidate.label, evaluation.cases)
        answers = [worker.run(case.feed).outputs for case in evaluation.open()]
        entry.quality = measure_quality(answers, evaluation, metric=metric, original=original)
        original = original if original is not None else answers
