"""What to time, and how much of it."""

from __future__ import annotations

import msgspec

from edgekit.errors import BadValue
from edgekit.package.values import Tolerance
from edgekit.workers import Call

MIN_STARTS, MIN_ROUNDS = 2, 1


class Candidate(msgspec.Struct, frozen=True):
    """Something to time: a label, and the call that opens it as a runner in a worker.

    An `optional` one that can't be opened or run is left out with its reason; any other is an
    error. `tolerance` holds, by output, how far its answers may be from the baseline's; outputs
    that it doesn't name are only measured.
    """

    label: str
    call: Call
    size_bytes: int | None = None
    optional: bool = False
    tolerance: dict[str, Tolerance] = {}


class Plan(msgspec.Struct, frozen=True):
    """How much to measure.

    `starts` fresh processes of every candidate, `rounds` turns in each of them; a turn repeats the
    call for about `turn_s`, after calls for about `warm_up_s` at every start. `wall_s` is how long
    any single request to a process may take, `seed` that of the random order.
    """

    starts: int = 5
    rounds: int = 4
    turn_s: float = 0.1
    warm_up_s: float = 0.15
    wall_s: float = 600.0
    seed: int = 0


def refuse_bad_plan(candidates: list[Candidate], plan: Plan) -> None:
    """Raise BadValue for candidates that can't be told apart, and a plan that gives no interval."""
    if plan.starts < MIN_STARTS or plan.rounds < MIN_ROUNDS:
        raise BadValue(
            what="the plan of a bench",
            asked=f"{plan.starts} starts of {plan.rounds} rounds",
            expected=f"at least {MIN_STARTS} starts of {MIN_ROUNDS} round",
        )
    labels = [candidate.label for candidate in candidates]
    if len(set(labels)) < max(len(labels), 1):
        raise BadValue(
            what="the candidates of a bench",
            asked=", ".join(labels) or "none",
            expected="at least one, each with a label of its own",
        )
