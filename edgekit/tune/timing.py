"""How long the steps of a search take, from one look at the float variant."""

from __future__ import annotations

import time

import msgspec

from edgekit.measure.plan import Plan
from edgekit.measure.ways import How, variant_call
from edgekit.tune import steps
from edgekit.tune.building import BRIEF
from edgekit.tune.memory import size_bytes
from edgekit.tune.racing import FINALISTS, Track, estimated_s, plan_of
from edgekit.tune.setting import Setting
from edgekit.workers import Worker

_CALLS = 3
_REWRITES = 3
"""About so many rewrites find a place in a model, and are raced."""
_SHORTER = (
    {"starts": 4, "rounds": 3, "turn_s": 0.05},
    {"starts": 3, "rounds": 3, "turn_s": 0.05},
    {"starts": 3, "rounds": 2, "turn_s": 0.03, "warm_up_s": 0.05},
)
"""Plans of a last race for less time, the longest first."""


class Pace:
    """What the float variant takes, from a fresh interpreter to its first answer and a call, and
    how much longer than that says races really take here."""

    def __init__(self, load_s: float, call_s: float, *, cases: int, wall_s: float) -> None:
        self.load_s = load_s
        self.call_s = call_s
        self.cases = cases
        self._wall_s = wall_s
        self._longer = 1.0

    def race_s(self, n: int, plan: Plan, *, cases: int = 0) -> float:
        """Estimate a race of so many, the baseline among them, in seconds."""
        expected_s = estimated_s(n, plan, load_s=self.load_s, call_s=self.call_s, cases=cases)
        return self._longer * expected_s

    def took(self, seconds: float, *, expected_s: float) -> None:
        """Learn from a race how long the next ones take: a busy machine is slower than it was."""
        self._longer = max(0.5, self._longer * seconds / max(expected_s, 1e-3))

    @property
    def last_s(self) -> float:
        """Estimate the last race."""
        return self.race_s(FINALISTS + 1, plan_of(9, last=True, wall_s=self._wall_s))

    @property
    def races_s(self) -> float:
        """Estimate all races of a usual search: one of six with the cases, one of twelve, the
        last."""
        first, second = (plan_of(stage, last=False, wall_s=self._wall_s) for stage in (1, 2))
        return self.race_s(6, first, cases=self.cases) + self.race_s(12, second) + self.last_s

    def affordable(self, plan: Plan, n: int, *, left_s: float) -> Plan:
        """Shorten the last race's plan to what there is time for; the shortest where even that
        takes longer."""
        plans = [plan, *(msgspec.structs.replace(plan, **shorter) for shorter in _SHORTER)]
        return next((p for p in plans if self.race_s(n, p) <= left_s), plans[-1])


def making_s(step: steps.Step, setting: Setting, pace: Pace) -> float:
    """Estimate how long making a variant takes here, in seconds: rewrites are raced on the way."""
    races_s = _REWRITES * pace.race_s(2, BRIEF) if step.scheme is None else 0.0
    return races_s + steps.estimated_s(
        step,
        call_ms=1e3 * pace.call_s,
        evaluation=setting.evaluation.cases,
        calibration=setting.calibration_cases,
        size_bytes=size_bytes(setting.package, setting.parent.name),
    )


def pace_of(track: Track, *, cases: int) -> Pace:
    """Open the float variant once and call it a few times.

    Raises what `edgekit.load` raises.
    """
    began_s = time.monotonic()
    call = variant_call(track.subject.path, track.baseline.variant, How(track.baseline.session))
    with Worker(track.baseline.label, wall_s=track.wall_s, environment=call.environment) as worker:
        worker.open(call)
        worker.run(track.feed)
        load_s = time.monotonic() - began_s
        timed = worker.run(track.feed, calls=_CALLS, warm_ups=1)
    call_s = min(timed.durations_ns) / 1e9
    return Pace(load_s, call_s, cases=cases, wall_s=track.wall_s)
