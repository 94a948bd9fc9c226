"""What became of a candidate, in words, and what it would have taken in the last race."""

from __future__ import annotations

from collections.abc import Collection

from edgekit.metrics import Estimate
from edgekit.terms import Outcome
from edgekit.tune.deciding import Decision, faster
from edgekit.tune.results import Tried

FLOAT = "the float variant"
"""What the baseline is in words, unless a package has none."""


def fate(
    tried: Tried,
    *,
    won: str,
    best: float,
    alike: Collection[str],
    on_front: bool,
    stage: int | None,
    stayed: bool = False,
    against: str = FLOAT,
) -> tuple[Outcome, str]:
    """Say what became of a candidate that ran and keeps the budget, and why.

    Args:
        tried: the candidate; without a speedup it is the baseline.
        won: the winner's label.
        best: the winner's speedup.
        alike: the labels of those that can't be told from the winner.
        on_front: nobody is faster, more accurate and smaller at once.
        stage: the number of the last race; None where there was no time for one.
        stayed: the winner was chosen before, and has to be beaten by more than noise.
        against: what the baseline is, in words.
    """
    if tried.label == won:
        return "chosen", ""
    if tried.speedup is None:
        return "kept", ""
    ratio = f"×{tried.speedup.value:.2f} of {against}'s speed"
    if tried.speedup.high < 1:
        return "slower", ratio
    outcome: Outcome = "kept" if on_front else "beaten"
    if stage is None:
        return outcome, f"{ratio}, and there was no time for a last race"
    if tried.label in alike:
        return outcome, f"{ratio}, which can't be told from {won}, and that asks for less"
    if not faster(tried.speedup) and tried.stage == stage:
        return "beaten", f"{ratio}, which noise alone could be"
    if tried.speedup.value >= best:
        if tried.stage == stage and stayed:
            return outcome, f"{ratio}: faster than {won}, chosen before, by no more than noise"
        if tried.stage == stage:
            return outcome, f"{ratio}: slower than what can't be told from {won}"
        return outcome, f"{ratio} in an earlier race, in which others were faster"
    if on_front:
        return outcome, f"{ratio}: slower than the winner, and more accurate or smaller"
    return outcome, f"{ratio}: {won} is faster"


def why(decided: Decision, *, raced: bool, complete: bool = True, against: str = FLOAT) -> str:
    """Say why the winner won, or the baseline where nobody did.

    Args:
        decided: who won.
        raced: whether there was a last race.
        complete: whether there was time for everything.
        against: what the baseline is, in words.
    """
    winner = decided.winner
    if winner is None:
        if not raced:
            return f"{against}: nothing else was raced to the end"
        said = "nothing that keeps the budget is faster by more than noise"
        return f"{against}: {said if complete else f'of what there was time for, {said}'}"
    said = (
        f"×{winner.speedup.value:.2f} [{winner.speedup.low:.2f}, {winner.speedup.high:.2f}] "
        f"of {against}'s speed, inside the budget"
    )
    if decided.stayed:
        said += "; chosen before, and in this short race nothing beats it by more than noise"
    if decided.alike:
        others = ", ".join(entrant.way.label for entrant in decided.alike)
        said += f"; {others} can't be told from it, and it asks for less"
    return said


def brought_to(baseline: Estimate | None, tried: Tried) -> Estimate | None:
    """Say what a candidate of an earlier race would have taken in the last one."""
    speedup = tried.speedup
    if baseline is None or speedup is None:
        return tried.p50_ms
    value, low, high = (baseline.value / s for s in (speedup.value, speedup.high, speedup.low))
    return Estimate(value, low, high, speedup.n, f"baseline's p50 / speedup ({speedup.method})")


def slowness(tried: Tried) -> float:
    """Say how slow one is beside the baseline: ratios inside a round, which p50s of other races
    are not."""
    speedup: Estimate | None = tried.speedup
    return 1.0 if speedup is None else 1 / speedup.value
