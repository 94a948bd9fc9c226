"""Accuracy budgets: what a candidate may lose, and whether it is known to stay inside.

A budget is passed only if the bound on the harmful side keeps it, and failed only if the bound on
the other side breaks it. Between the two the samples don't decide, and it is said how many would.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, assert_never

import msgspec

from edgekit.errors import BadValue
from edgekit.intervals import samples_for_drop, samples_for_mean, samples_for_share
from edgekit.metrics import Estimate
from edgekit.tensors import Dataset
from edgekit.terms import BudgetMetric, Metric, Ruling, Undecided

if TYPE_CHECKING:
    from edgekit.measure.results import Quality

TO_TYPE: dict[BudgetMetric, str] = {
    "drop": "--max-drop 0.5pp",
    "agreement": "--min-agreement 99%",
    "cosine": "--min-cosine 0.999",
}
"""How each budget is said on a command line, the most telling one first."""

_NEEDS: dict[BudgetMetric, str] = {
    "drop": "cases that have labels and an answer with classes",
    "agreement": "an answer with classes",
    "cosine": "an answer that can be compared",
}
_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"


class Budget(msgspec.Struct, frozen=True):
    """What may be lost at most, or must be kept at least.

    `limit` is a share: of the cases for a drop (0.005 for half a percentage point) and for
    agreement (0.99), and the cosine itself.
    """

    metric: BudgetMetric
    limit: float

    def __str__(self) -> str:
        if self.metric == "drop":
            return f"a drop of at most {100 * self.limit:g} pp"
        if self.metric == "agreement":
            return f"an agreement of at least {100 * self.limit:g} %"
        return f"a cosine of at least {self.limit:g}"


class Verdict(msgspec.Struct, frozen=True):
    """What a budget says of a candidate.

    `samples_needed` are about as many as would decide if they came out as these did, None where
    it is decided or no number would. `estimate` has one-sided bounds of 95 % each.
    """

    budget: Budget
    ruling: Ruling
    estimate: Estimate
    samples_needed: int | None
    sentence: str


def parse_drop(text: str) -> Budget:
    """Read `0.5pp`: percentage points of accuracy that may be lost.

    Raises:
        BadValue: it is something else; `0.5%` could be a share of the accuracy, so it is refused.
    """
    found = re.fullmatch(rf"{_NUMBER}\s*pp", text.strip(), re.IGNORECASE)
    points = float(found[1]) if found else math.nan
    if not 0 <= points <= 100:
        meant = re.fullmatch(rf"{_NUMBER}\s*%?", text.strip())
        typed = f"{meant[1]}pp" if meant and float(meant[1]) <= 100 else "0.5pp"
        raise BadValue(
            what="--max-drop",
            asked=repr(text),
            expected=f"percentage points, from 0pp to 100pp: --max-drop {typed}",
        )
    return Budget("drop", points / 100)


def parse_agreement(text: str) -> Budget:
    """Read `99%` or `0.99`: the share of classes that must stay the original's.

    Raises:
        BadValue: it is something else, or outside 0..1.
    """
    found = re.fullmatch(rf"{_NUMBER}\s*(%?)", text.strip())
    share = float(found[1]) / (100 if found[2] else 1) if found else math.nan
    if not 0 <= share <= 1:
        meant = found is not None and not found[2] and share <= 100
        raise BadValue(
            what="--min-agreement",
            asked=repr(text),
            expected="a share: --min-agreement "
            + (f"{share:g}% or {share / 100:g}" if meant else "99% or 0.99"),
        )
    return Budget("agreement", share)


def parse_cosine(text: str) -> Budget:
    """Read `0.999`: what the cosine to the original's answers must be in the mean.

    Raises:
        BadValue: it is something else, or outside 0..1.
    """
    found = re.fullmatch(_NUMBER, text.strip())
    cosine = float(found[1]) if found else math.nan
    if not 0 <= cosine <= 1:
        raise BadValue(
            what="--min-cosine",
            asked=repr(text),
            expected="a number from 0 to 1: --min-cosine 0.999",
        )
    return Budget("cosine", cosine)


def available(quality: Quality) -> tuple[BudgetMetric, ...]:
    """Name the budgets that what was measured can be held to, the most telling one first."""
    found: list[BudgetMetric] = []
    if quality.drop is not None:
        found.append("drop")
    if quality.kept_agreement is not None:
        found.append("agreement")
    if quality.cosine is not None:
        found.append("cosine")
    return tuple(found)


def judge(budget: Budget, quality: Quality) -> Verdict:
    """Hold what was measured against a budget.

    Raises:
        BadValue: that can't be had of these cases; it says which budgets can.
    """
    estimate = _estimate(budget, quality)
    harmful_side_keeps, other_side_breaks = (
        (estimate.high <= budget.limit, estimate.low > budget.limit)
        if budget.metric == "drop"
        else (estimate.low >= budget.limit, estimate.high < budget.limit)
    )
    if harmful_side_keeps:
        ruling: Ruling = "passed"
    elif other_side_breaks:
        ruling = "failed"
    else:
        ruling = "undecided"
    needed = _samples_needed(budget, quality, estimate) if ruling == "undecided" else None
    return Verdict(
        budget, ruling, estimate, needed, _sentence(budget, ruling, estimate, needed, quality)
    )


def judge_all(budgets: Sequence[Budget], quality: Quality) -> tuple[Verdict, ...]:
    """Hold what was measured against several budgets.

    Raises what `judge` raises.
    """
    return tuple(judge(budget, quality) for budget in budgets)


def refuse_unavailable(budgets: Sequence[Budget], dataset: Dataset, *, metric: Metric) -> None:
    """Refuse budgets that can't be had of cases, before anything long starts.

    Args:
        budgets: what is asked for.
        dataset: what accuracy will be measured on.
        metric: how answers are judged.

    Raises:
        BadValue: with the budgets that can be had.
    """
    if not budgets:
        return
    first = next(dataset.open(), None)
    there: tuple[BudgetMetric, ...] = ("cosine",)
    if metric != "closeness":
        there = ("agreement", *there)
    if metric == "top1" and first is not None and first.label is not None:
        there = ("drop", *there)
    for budget in budgets:
        if budget.metric not in there:
            raise _unavailable(budget, there, f"{dataset.cases:,} {dataset.name}")


def accepted(verdicts: Sequence[Verdict], *, undecided: Undecided = "reject") -> bool:
    """Tell whether a candidate may be used: none failed, and, unless told otherwise, none is
    undecided."""
    refused = {"failed"} if undecided == "accept" else {"failed", "undecided"}
    return not any(verdict.ruling in refused for verdict in verdicts)


def _estimate(budget: Budget, quality: Quality) -> Estimate:
    match budget.metric:
        case "drop":
            found = quality.drop
        case "agreement":
            found = quality.kept_agreement
        case "cosine":
            found = quality.cosine
        case _:
            assert_never(budget.metric)
    if found is None:
        raise _unavailable(budget, available(quality), f"{quality.cases:,} {quality.dataset}")
    return found


def _unavailable(budget: Budget, there: Sequence[BudgetMetric], cases: str) -> BadValue:
    return BadValue(
        what="what the accuracy is held to",
        asked=f"{budget}, which needs {_NEEDS[budget.metric]}: the {cases} have none",
        expected=" or ".join(TO_TYPE[metric] for metric in there)
        or "cases that can be compared: give others with --eval-data",
    )


def _samples_needed(budget: Budget, quality: Quality, estimate: Estimate) -> int | None:
    limit = budget.limit
    if budget.metric == "drop":
        assert quality.changes is not None
        return samples_for_drop(quality.changes, limit=limit)
    if budget.metric == "cosine":
        assert quality.cosines is not None
        return samples_for_mean(quality.cosines, limit=limit)
    if quality.agreements is not None:
        return samples_for_mean(quality.agreements, limit=limit, least=0.0)
    return samples_for_share(round(estimate.value * estimate.n), estimate.n, limit=limit)


def _sentence(
    budget: Budget, ruling: Ruling, estimate: Estimate, needed: int | None, quality: Quality
) -> str:
    def said(value: float) -> str:
        return _written(budget, value)

    drop = budget.metric == "drop"
    kept = f"at {'most' if drop else 'least'} {said(estimate.high if drop else estimate.low)}"
    lost = f"at {'least' if drop else 'most'} {said(estimate.low if drop else estimate.high)}"
    made_up = "made-up " if quality.synthetic and "made-up" not in quality.dataset else ""
    of = f"{said(estimate.value)} of {estimate.n:,} {made_up}{quality.dataset}"
    if ruling == "passed":
        return f"{budget} is kept: {of}, and {kept} with 95 %"
    if ruling == "failed":
        return f"{budget} is broken: {of}, and {lost} with 95 %"
    more = (
        "no number of samples like these would decide it, so near the limit do they lie"
        if needed is None
        else f"about {needed:,} samples like these would decide it"
    )
    return f"{budget} is undecided: {of}, and {kept} with 95 %; {more}"


def _written(budget: Budget, value: float) -> str:
    """Write a value with as many digits as tell it from the limit on its own side."""
    if budget.metric == "cosine":
        scale, unit, places = 1.0, "", 5
    else:
        scale, unit, places = 100.0, " pp" if budget.metric == "drop" else " %", 2
    limit = scale * budget.limit
    while places < 12:
        short = float(f"{scale * value:.{places}f}")
        if (short < limit, short > limit) == (value < budget.limit, value > budget.limit):
            break
        places += 1
    return f"{scale * value:.{places}f}{unit}"
