"""Gates: conditions such as ``speedup<1.5`` under which a measurement says no (exit code 3).

A gate protects its user, so doubt counts against the candidate: it is decided on the end of the
interval that is likelier to trip it, the low end for ``<`` and ``<=``, the high end for ``>`` and
``>=``. ``speedup<1.5`` lets a row through only if its interval begins at 1.5 or above. A value
that could not be measured trips its gate too: nobody should ship on a number that isn't there.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable

import msgspec

from edgekit.errors import BadValue, UnknownName
from edgekit.metrics import Estimate
from edgekit.terms import Comparison, GateMetric, members

SHARES: tuple[GateMetric, ...] = ("accuracy", "agreement")
"""Metrics between 0 and 1, so that ``accuracy<97`` is told apart from ``accuracy<0.97``."""

_HOLDS: dict[Comparison, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

_IN_WORDS: dict[Comparison, str] = {
    "<": "below",
    "<=": "at or below",
    ">": "above",
    ">=": "at or above",
}


class Gate(msgspec.Struct, frozen=True):
    """Fail if `metric` `comparison` `limit`; `text` is what the user wrote, trimmed."""

    metric: GateMetric
    comparison: Comparison
    limit: float
    text: str


class Verdict(msgspec.Struct, frozen=True):
    """What a gate said about a row. `failed` None: nothing to judge, which trips too."""

    gate: Gate
    row: str
    failed: bool | None
    sentence: str

    @property
    def tripped(self) -> bool:
        """Whether the row is refused: it failed, or couldn't be judged."""
        return self.failed is not False


def parse(text: str) -> Gate:
    """Read a gate such as ``p50_ms>5``; spaces around its three parts don't matter.

    Raises:
        BadValue: not a metric, a comparison and a number; or a limit that the metric can't have.
        UnknownName: no such metric.
    """
    found = re.fullmatch(r"([^\s<>=]+)\s*(<=|>=|<|>)\s*([^\s<>=]+)", text.strip())
    if found is None:
        raise BadValue(
            what="a gate",
            asked=repr(text),
            expected=f"a metric ({', '.join(members(GateMetric))}), one of "
            f"{' '.join(members(Comparison))}, and a number, such as 'p50_ms>5'",
        )
    metric, comparison, number = found.groups()
    if metric not in members(GateMetric):
        raise UnknownName(kind="metric", asked=metric, available=list(members(GateMetric)))
    highest = 1.0 if metric in SHARES else math.inf
    try:
        limit = float(number)
    except ValueError:
        limit = math.nan
    if not (0 <= limit <= highest and math.isfinite(limit)):
        raise BadValue(
            what=f"the limit of {metric}",
            asked=repr(number),
            expected="a share from 0 to 1" if metric in SHARES else "a number, 0 or more",
        )
    # `convert` turns the checked words into their Literal types.
    return msgspec.convert(
        {"metric": metric, "comparison": comparison, "limit": limit, "text": text.strip()}, Gate
    )


def judge(gate: Gate, value: Estimate | float | None, *, row: str) -> Verdict:
    """Hold a row's value against a gate, on the interval's end that is likelier to trip it.

    `row` is the label that the sentence names. None, NaN and Inf are values that could not be
    measured: `failed` is None and the gate trips.
    """
    low_side = gate.comparison in ("<", "<=")
    if isinstance(value, Estimate):
        end = (value.low if low_side else value.high) if value.n else None
    else:
        end = value
    if end is None or not math.isfinite(end):
        sentence = f"{row}: {gate.metric} could not be measured, so '{gate.text}' trips"
        return Verdict(gate, row, None, sentence)
    failed = _HOLDS[gate.comparison](end, gate.limit)
    number = _digits(end, gate)
    if isinstance(value, Estimate):
        side = "low" if low_side else "high"
        number = f"{value.value:.4g} and the {side} end of its interval {number}"
    words = _IN_WORDS[gate.comparison] if failed else f"not {_IN_WORDS[gate.comparison]}"
    sentence = f"{row}: {gate.metric} is {number}, {words} {gate.limit:g} ('{gate.text}')"
    return Verdict(gate, row, failed, sentence)


def _digits(end: float, gate: Gate) -> str:
    """Write `end` short, or in full where rounding would put it on the limit's other side."""
    short = f"{end:.4g}"
    holds = _HOLDS[gate.comparison]
    same_side = holds(float(short), gate.limit) == holds(end, gate.limit)
    return short if same_side else repr(end)
