"""Time candidates side by side: fresh processes, interleaved rounds, outputs checked on the way.

Runtimes in one process disturb each other through their thread pools, a process's memory layout
shifts its speed, and a shared machine's speed changes by the minute. So every candidate stands in
a worker of its own, made afresh for every start; in each round every worker has a turn, in random
order, after the others have been quiet; and only ratios inside a round are trusted.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterator
from random import Random

import msgspec

from edgekit.errors import EdgekitError, OriginalUnavailable
from edgekit.measure.gathering import Gathered, refuse_other_answers
from edgekit.measure.plan import MIN_STARTS, Candidate, Plan, refuse_bad_plan
from edgekit.measure.quality import Tally
from edgekit.measure.results import LeftOut, Measurement, Start
from edgekit.tensors import Array, Case, Dataset, Feed
from edgekit.terms import Metric
from edgekit.workers import Worker, WorkerFault

__all__ = ["Candidate", "Plan", "Timings", "time_candidates"]

log = logging.getLogger("edgekit")

QUIET_S = 0.03
"""How long the others must have been quiet: an ONNX Runtime pool spins about 20 ms."""
_MAX_WARM_UPS = 500
_TURN_WARM_UPS = 3
_MIN_CALLS, _MAX_CALLS = 5, 2000


class Timings(msgspec.Struct, frozen=True):
    """What the interleaved rounds gave: one measurement a candidate, those left out apart."""

    measurements: list[Measurement]
    left_out: list[LeftOut]


def time_candidates(
    candidates: list[Candidate],
    feed: Feed,
    *,
    plan: Plan,
    recorded: Case | None = None,
    evaluation: Dataset | None = None,
    metric: Metric = "closeness",
    random: Collection[str] = (),
    enough: Callable[[], bool] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Timings:
    """Time all candidates on one feed; the first that isn't left out is the baseline.

    Args:
        candidates: the baseline first.
        feed: the arrays that every timed call gets.
        plan: how many starts and rounds, and how long a turn.
        recorded: a reference case; an optional candidate whose answer to it is not the recorded
            one is left out, because it can't be the original. Where no original runs, the others
            are held to the recorded answer.
        evaluation: held-out cases to measure quality on, once, in the last start.
        metric: how quality is judged.
        random: outputs that are drawn at random, so that only their shapes can be compared.
        enough: asked after each start, from the second on: whether to end there. The starts that
            are done count; quality isn't measured then.
        progress: called with the turns done and the turns in all.

    Raises:
        BadValue: fewer than two starts, or candidates of one label.
        OriginalUnavailable: nothing is left to time.
        EdgekitError: a candidate that isn't optional failed.
    """
    refuse_bad_plan(candidates, plan)
    race = _Race(candidates, feed, plan, recorded, random, progress)
    for start in range(plan.starts):
        last = start == plan.starts - 1
        race.start(evaluation if last else None, metric)
        if enough is not None and start + 1 >= MIN_STARTS and enough():
            break
    return Timings([entry.measurement() for entry in race.running], race.left_out)


class _Standing(msgspec.Struct):
    """One start of one candidate: its worker, and what was measured of this start so far."""

    entry: Gathered
    worker: Worker
    import_ms: float
    load_ms: float
    first_call_ms: float
    warm_up_ns: list[int]
    rounds: list[list[int]]


class _Race:
    """A bench on its way: who runs, who was left out, and how many turns are done."""

    def __init__(
        self,
        candidates: list[Candidate],
        feed: Feed,
        plan: Plan,
        recorded: Case | None,
        random_outputs: Collection[str],
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.running = [Gathered(candidate, random_outputs) for candidate in candidates]
        self.left_out: list[LeftOut] = []
        self._feed = feed
        self._plan = plan
        self._recorded = recorded
        self._random = random_outputs
        self._progress = progress
        self._shuffle = Random(plan.seed)
        self._turns_done = 0
        self._rounds_begun = 0

    def start(self, evaluation: Dataset | None, metric: Metric) -> None:
        """Start every candidate afresh, give each its rounds, and end them all."""
        with contextlib.ExitStack() as stack:
            standing: list[_Standing] = []
            for entry in self._shuffle.sample(self.running, len(self.running)):
                call = entry.candidate.call
                worker = stack.enter_context(
                    Worker(
                        entry.candidate.label,
                        wall_s=self._plan.wall_s,
                        environment=call.environment,
                    )
                )
                with self._leaving_out(entry, worker):
                    standing.append(self._opened(entry, worker))
            standing = self._still(standing)
            self._hold_to_recorded(standing)
            for _ in range(self._plan.rounds):
                standing = self._round(standing)
            for one in standing:
                with self._leaving_out(one.entry, one.worker):
                    one.entry.starts.append(_start(one))
            if evaluation is not None:
                self._evaluate(self._still(standing), evaluation, metric)

    @contextlib.contextmanager
    def _leaving_out(self, entry: Gathered, worker: Worker) -> Iterator[None]:
        """Leave an optional candidate out, with all that was measured of it, where it fails."""
        try:
            yield
        except (EdgekitError, WorkerFault) as error:
            # A fault is code of edgekit's own, or whatever a module raised when it was called:
            # the worker can't tell the two apart.
            if not entry.candidate.optional:
                raise
            log.info("%s is left out: %s", entry.candidate.label, error)
            self.left_out.append(LeftOut(entry.candidate.label, _reason(error)))
            if entry is self.running[0]:
                for other in self.running:
                    other.forget_comparisons()
            self.running.remove(entry)
            worker.close()
            if not self.running:
                reasons = "; ".join(f"{left.label}: {left.reason}" for left in self.left_out)
                raise OriginalUnavailable(reason=f"Nothing is left to time. {reasons}") from error

    def _opened(self, entry: Gathered, worker: Worker) -> _Standing:
        opened = worker.open(entry.candidate.call)
        entry.facts = opened.facts
        entry.first_output = opened.signature.outputs[0].name
        first = worker.run(self._feed)
        if self._recorded is not None and entry.candidate.optional and not entry.starts:
            answers = worker.run(self._recorded.feed).outputs
            refuse_other_answers(
                entry.candidate, answers, recorded=self._recorded, random=self._random
            )
        settled = worker.run(self._feed, calls=3, warm_ups=2)
        call_s = max(min(settled.durations_ns), 1) / 1e9
        # The same number of calls in every start, so that all rounds weigh alike.
        entry.calls = entry.calls or _times(self._plan.turn_s, call_s, _MIN_CALLS, _MAX_CALLS)
        warm_ups = _times(self._plan.warm_up_s, call_s, 1, _MAX_WARM_UPS)
        warm = worker.run(self._feed, calls=0, warm_ups=warm_ups)
        return _Standing(
            entry=entry,
            worker=worker,
            import_ms=opened.import_ms,
            load_ms=opened.load_ms,
            first_call_ms=first.durations_ns[0] / 1e6,
            warm_up_ns=[*settled.warm_up_ns, *settled.durations_ns, *warm.warm_up_ns],
            rounds=[],
        )

    def _hold_to_recorded(self, standing: list[_Standing]) -> None:
        """Let the recorded answer stand for the original where none runs."""
        if self._recorded is None or any(entry.candidate.optional for entry in self.running):
            return
        for one in standing:
            if one.entry.candidate.tolerance:
                answers = one.worker.run(self._recorded.feed).outputs
                one.entry.hold(answers, self._recorded.outputs or {})

    def _round(self, standing: list[_Standing]) -> list[_Standing]:
        """Give everyone a turn in random order, and hold the answers to the baseline's."""
        self._rounds_begun += 1
        outputs: dict[str, dict[str, Array]] = {}
        order = self._shuffle.sample(standing, len(standing))
        for place, one in enumerate(order):
            time.sleep(QUIET_S)
            with self._leaving_out(one.entry, one.worker):
                timed = one.worker.run(self._feed, calls=one.entry.calls, warm_ups=_TURN_WARM_UPS)
                one.rounds.append(timed.durations_ns)
                one.warm_up_ns.extend(timed.warm_up_ns)
                outputs[one.entry.candidate.label] = timed.outputs
                self._tell(turns_left=len(self._still(order[place + 1 :])))
        baseline, *others = self.running
        for entry in others:
            entry.hold(outputs[entry.candidate.label], outputs[baseline.candidate.label])
        return self._still(standing)

    def _evaluate(self, standing: list[_Standing], evaluation: Dataset, metric: Metric) -> None:
        """Measure everyone's quality on the same cases, against labels and the original.

        The original is the baseline where that is optional, as only originals are; else its
        recorded answers stand for it, and without those the baseline does.
        """
        standing = sorted(standing, key=lambda one: self.running.index(one.entry))
        log.info("measuring accuracy on %s %s", f"{evaluation.cases:,}", evaluation.name)
        for one in standing:
            one.entry.tally = Tally(
                evaluation, metric=metric, output=one.entry.first_output, random=self._random
            )
        for case in evaluation.open():
            original = case.outputs
            for one in self._still(standing):
                with self._leaving_out(one.entry, one.worker):
                    answer = one.worker.run(case.feed).outputs
                    assert one.entry.tally is not None
                    one.entry.tally.add(case, answer, original=original)
                    if one.entry is self.running[0] and (
                        original is None or one.entry.candidate.optional
                    ):
                        original = answer

    def _still(self, standing: list[_Standing]) -> list[_Standing]:
        return [one for one in standing if one.entry in self.running]

    def _tell(self, *, turns_left: int) -> None:
        self._turns_done += 1
        if self._progress is not None:
            rounds_left = self._plan.starts * self._plan.rounds - self._rounds_begun
            left = turns_left + rounds_left * len(self.running)
            self._progress(self._turns_done, self._turns_done + left)


def _start(one: _Standing) -> Start:
    return Start(
        import_ms=one.import_ms,
        load_ms=one.load_ms,
        first_call_ms=one.first_call_ms,
        peak_mb=one.worker.peak_mb(),
        warm_up_ns=one.warm_up_ns,
        rounds=one.rounds,
    )


def _times(whole_s: float, call_s: float, fewest: int, most: int) -> int:
    return int(min(max(whole_s / call_s, fewest), most))


def _reason(error: Exception) -> str:
    """Say why in one line: an error's sentence, or the last line of a traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if isinstance(error, WorkerFault) else " ".join(lines)) if lines else "failed"
