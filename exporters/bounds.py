"""How far an exported model may lie from its original, an element at a time.

The bound is made from the original itself: it is run in its own precision and in double, and the
exported model may lie ten times as far from the double answer as the original does, or ten times
eight units in the last place of the output's largest value where the original is closer than that.
An element where the original is close by luck says little of its precision (of two errors that are
equally large on average, one is ten times the other in 6 of 100 elements), so the root mean square
of its errors in that output, over all that was compared so far, counts where that is larger.
Where the original is further from its double answer than a hundredth of the output's largest value
(32 units, where the type is that coarse) that is no rounding, and a module may not run in double at
all: there it is compared with its own answer instead: a hundred-thousandth of
the largest value (eight units in the last place, where the type is that coarse) and a thousandth of
the element.
"""

from __future__ import annotations

import numpy as np

from edgekit.package.values import Tolerance
from edgekit.tensors import Array

FACTOR = 10.0
UNITS = 8.0
SHARE_OF_LARGEST = 1e-5
RELATIVE = 1e-3
LARGEST_ROUNDING = 1e-2
ROUNDING_UNITS = 32.0
RULE_DOUBLE = (
    "|exported - original in double| <= 10 x max(|original - original in double|, "
    "its root mean square so far, 8 eps x largest value), wherever that error is rounding"
)
RULE_SINGLE = (
    "|exported - original| <= max(1e-5, 8 eps) x largest value + 1e-3 x |original|, because the "
    "module can't run in double"
)


class Errors:
    """The original's own errors in one output, over everything that was tried so far."""

    def __init__(self) -> None:
        self._squares = 0.0
        self._elements = 0

    def add(self, errors: Array) -> float:
        """Take in the errors of one answer; return the root mean square of all so far."""
        self._squares += float(np.sum(np.square(errors)))
        self._elements += errors.size
        return float(np.sqrt(self._squares / max(self._elements, 1)))


def bound_of(
    array: Array, exact: Array | None, *, tolerance: float | None, errors: Errors
) -> tuple[Array, Array | float, Tolerance]:
    """Choose what to compare with, and how far each element may be from it.

    `array` is the original's answer and `exact` its answer in double, if it has one; `errors` are
    its own in this output so far. Returns the reference, the
    bound of each element, and what a check on another device may allow.
    """
    if array.dtype.kind in "biu" or array.size == 0:
        return array, 0.0, Tolerance(0.0, 0.0)
    wide = array.astype(np.float64)
    finite = np.abs(wide[np.isfinite(wide)])
    largest = float(finite.max()) if finite.size else 0.0
    if exact is not None:
        # What overflows in the original's own precision must overflow in the exported model too.
        precise = exact.astype(np.float64)
        usable = np.isfinite(wide) & np.isfinite(precise)
        reference = np.where(usable, precise, wide)
    else:
        usable, reference = np.isfinite(wide), wide
    if tolerance is not None:
        return reference, tolerance * largest, Tolerance(tolerance * largest, 0.0)
    units = UNITS * _eps(array)
    size = np.where(usable, wide, 0.0)
    share = max(SHARE_OF_LARGEST, units)
    plain = share * largest + RELATIVE * np.abs(size)
    if exact is None:
        return reference, plain, Tolerance(share * largest, RELATIVE)
    own = np.abs(size - np.where(usable, reference, 0.0))
    # What is further off is no rounding: a step of the function lies between the two answers, or
    # they have nothing to do with each other. Such an element says nothing of the others.
    rounded = own <= max(LARGEST_ROUNDING, ROUNDING_UNITS * _eps(array)) * largest
    typical = errors.add(own[rounded])
    bound = FACTOR * np.maximum(own, max(typical, units * largest))
    bound = np.where(rounded, bound, plain)
    return np.where(rounded, reference, wide), bound, Tolerance(float(np.max(bound)), 0.0)


def _eps(array: Array) -> float:
    if array.dtype.name == "bfloat16":
        return 2.0**-7
    return float(np.finfo(array.dtype).eps)
