"""How far answers lie from the original's, and how often they are right; numpy only.

Everything here is JSON-able: no field is ever NaN or infinite.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from statistics import NormalDist
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.errors import BadValue, InputError

if TYPE_CHECKING:
    from edgekit.tensors import Array, Feed

Floats: TypeAlias = NDArray[np.float64]

UNBOUNDED = sys.float_info.max
"""What stands for an infinite error, which JSON can't hold: larger than any bound."""

SQNR_FLOOR_DB = -1000.0
"""What stands for an SQNR of minus infinity: noise where there is no signal, or endless noise."""

RELATIVE_FLOOR = 2.0**-23
"""Share of the largest expected value under which a relative error isn't relative to its own
element any more: float32's eps, since smaller elements are rounding of the largest."""


class Estimate(msgspec.Struct, frozen=True):
    """A value with its interval; `n` is how many observations the interval rests on."""

    value: float
    low: float
    high: float
    n: int
    method: str


class Closeness(msgspec.Struct, frozen=True):
    """How close an output is to the expected one.

    `sqnr_db` is the signal-to-quantization-noise ratio in dB; None means equal in every element,
    so that the ratio is infinite. `UNBOUNDED` and `SQNR_FLOOR_DB` stand for infinities.
    """

    max_abs_error: float
    max_rel_error: float
    cosine: float
    sqnr_db: float | None


class Mismatch(msgspec.Struct, frozen=True):
    """Elements out of tolerance: how many of how many, and the one furthest outside.

    `got` and `expected` are for a message, not for JSON: they may be NaN or infinite.
    """

    count: int
    total: int
    index: tuple[int, ...]
    got: float | int
    expected: float | int

    def __str__(self) -> str:
        difference = abs(self.got - self.expected)
        away = f", {difference:.3g} away" if math.isfinite(difference) else ""
        return (
            f"{self.count} of {self.total} elements are out of tolerance, the worst at "
            f"{list(self.index)}: got {self.got!r}, expected {self.expected!r}{away}"
        )


def closeness(got: ArrayLike, expected: ArrayLike) -> Closeness:
    """Measure how close `got` is to `expected`, in float64, for real dtypes and equal shapes.

    The relative error of an element is |got - expected| / max(|expected|, floor), where the floor
    is `RELATIVE_FLOOR` times the largest finite |expected|. SQNR is 10 log10(sum of expected² /
    sum of (got - expected)²). NaN and Inf in the same place, with the same sign, count as equal
    and are left out of the sums; where only one side has them, the errors are `UNBOUNDED`, the
    cosine 0 and the SQNR `SQNR_FLOOR_DB`. Empty arrays are equal. The cosine of two zero vectors
    is 1, of one zero vector with another 0. Differences of integers are exact before they are
    rounded to float64.

    Raises:
        InputError: the shapes differ, or a dtype isn't a real number's.
    """
    a, b = _pair(got, expected)
    error = _error(a, b)
    x, y = _as_float64(a), _as_float64(b)
    if np.isinf(error).any():
        return Closeness(UNBOUNDED, UNBOUNDED, 0.0, SQNR_FLOOR_DB)
    finite = np.isfinite(y)
    x, y, error = x[finite], y[finite], error[finite]
    if not error.any():
        return Closeness(0.0, 0.0, 1.0, None)
    floor = RELATIVE_FLOOR * float(np.abs(y).max())
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        relative = np.where(error > 0, error / np.maximum(np.abs(y), floor), 0.0)
    return Closeness(
        max_abs_error=float(error.max()),
        max_rel_error=min(float(relative.max()), UNBOUNDED),
        cosine=_cosine(x, y),
        sqnr_db=max(20.0 * (_log10_norm(y) - _log10_norm(error)), SQNR_FLOOR_DB),
    )


def within(
    got: ArrayLike,
    expected: ArrayLike,
    *,
    absolute: float | Array,
    relative: float,
) -> Mismatch | None:
    """Check that |got - expected| <= absolute + relative·|expected| in every element.

    NaN and Inf must coincide. Where both dtypes are integer or bool, elements must be equal and
    the tolerances don't count. `absolute` may be an array of one bound an element. The worst
    element is the one furthest past its own bound.

    Returns:
        None where every element is within.

    Raises:
        InputError: the shapes differ, or a dtype isn't a real number's.
        BadValue: a tolerance is negative or NaN.
    """
    for what, bound in (("the absolute", absolute), ("the relative", relative)):
        if not np.all(np.asarray(bound) >= 0):
            raise BadValue(what=f"{what} tolerance", asked=str(bound), expected="0 or more")
    a, b = _pair(got, expected)
    error = _error(a, b)
    if _is_exact(a) and _is_exact(b):
        allowed: Floats = np.zeros(b.shape)
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            allowed = absolute + relative * np.abs(_as_float64(b))
        # Beside an expected Inf or NaN the bound is Inf or NaN, and only the same value will do.
        allowed = np.nan_to_num(allowed, nan=UNBOUNDED, posinf=UNBOUNDED)
    outside = error > allowed
    count = int(np.count_nonzero(outside))
    if count == 0:
        return None
    # An error is either infinite or at most UNBOUNDED, so this difference is never NaN.
    excess = np.where(outside, error - allowed, -1.0)
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(excess)), b.shape))
    return Mismatch(count, b.size, index, _plain(a[index]), _plain(b[index]))


def other_form(got: ArrayLike, expected: ArrayLike) -> str:
    """Say how the shape or dtype of `got` differs from the expected one; "" where neither does."""
    a, b = np.asarray(got), np.asarray(expected)
    if (a.shape, a.dtype.name) == (b.shape, b.dtype.name):
        return ""
    return f"it is {a.dtype.name} {list(a.shape)} and should be {b.dtype.name} {list(b.shape)}"


def largest(array: ArrayLike) -> float:
    """Return the largest finite absolute value, 0 where there is none."""
    wide = np.abs(_as_float64(np.asarray(array)))
    return float(wide[np.isfinite(wide)].max(initial=0.0))


def predictions(outputs: Array | Feed) -> NDArray[np.int64]:
    """Name the class with the highest score: argmax over the last axis, the first of equals.

    `outputs` is one array [rows, …, classes], or named arrays, of which the first counts. Where a
    score is NaN the class is -1, which is never right and agrees with nothing.

    Raises:
        InputError: no output, fewer than two axes, or no classes.
    """
    if isinstance(outputs, Mapping):
        if not outputs:
            raise InputError(problem="There is no output to read classes from.")
        outputs = next(iter(outputs.values()))
    scores = np.asarray(outputs)
    if scores.ndim < 2 or scores.shape[-1] == 0:
        raise InputError(
            problem=f"Classes are read from an output [rows, classes]; this one has the shape "
            f"{list(scores.shape)}."
        )
    scores = _as_float64(scores) if scores.dtype.kind == "V" else _real(scores)
    unknown = np.isnan(scores).any(axis=-1)  # argmax would name the first NaN
    return np.where(unknown, -1, np.argmax(scores, axis=-1)).astype(np.int64)


def agreement(a_ids: ArrayLike, b_ids: ArrayLike) -> Estimate:
    """Estimate how often two models name the same class, with a 95 % Wilson interval.

    Raises:
        InputError: the shapes differ.
    """
    return _share_of_equals(a_ids, b_ids)


def accuracy(ids: ArrayLike, labels: ArrayLike) -> Estimate:
    """Estimate how often the class is the labelled one, with a 95 % Wilson interval.

    Raises:
        InputError: the shapes differ.
    """
    return _share_of_equals(ids, labels)


def wilson(successes: int, n: int, *, confidence: float = 0.95) -> Estimate:
    """Estimate a share from `successes` in `n` independent trials, with the Wilson score interval.

    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22
    (1927). With n = 0 nothing is known: the interval is [0, 1] and the value 0.

    Raises:
        BadValue: successes outside 0..n, or a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise BadValue(what="a confidence", asked=str(confidence), expected="between 0 and 1")
    if not 0 <= successes <= n:
        raise BadValue(what="successes", asked=f"{successes} of {n}", expected="0 to n")
    method = f"Wilson {100 * confidence:g} %"
    if n == 0:
        return Estimate(0.0, 0.0, 1.0, 0, method)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    # Rounding must not take an end off 0 or 1, where it is exactly when the share is.
    low = centre - half if successes else 0.0
    high = centre + half if successes < n else 1.0
    return Estimate(share, low, high, n, method)


def _share_of_equals(ids: ArrayLike, others: ArrayLike) -> Estimate:
    a, b = _pair(ids, others)
    return wilson(int(np.count_nonzero((a == b) & (a >= 0))), a.size)


def _pair(got: ArrayLike, expected: ArrayLike) -> tuple[Array, Array]:
    a, b = np.asarray(got), np.asarray(expected)
    if a.shape != b.shape:
        raise InputError(
            problem=f"Arrays to compare must have one shape; got {list(a.shape)}, expected "
            f"{list(b.shape)}."
        )
    return _real(a), _real(b)


def _real(array: Array) -> Array:
    # Kind V also holds the dtypes that numpy lacks and ml_dtypes adds, bfloat16 among them.
    if array.dtype.kind not in "biufV" or array.dtype.names is not None:
        raise InputError(problem=f"Numbers were expected, not elements of dtype {array.dtype}.")
    return array


def _is_exact(array: Array) -> bool:
    return array.dtype.kind in "biu"


def _as_float64(array: Array) -> Floats:
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            problem=f"Numbers were expected, not elements of dtype {array.dtype}."
        ) from error


def _error(a: Array, b: Array) -> Floats:
    """|a - b| an element: inf where only one side is NaN or Inf, else finite."""
    x, y = _as_float64(a), _as_float64(b)
    if _is_exact(a) and _is_exact(b):
        # Two's complement wraps around to the exact distance, which int64 itself can't hold. Only
        # int64 against uint64 can be 2^64 or more apart, and there float64 is near enough.
        u, v = (z.astype(np.int8) if z.dtype.kind == "b" else z for z in (a, b))
        u64, v64 = u.astype(np.uint64), v.astype(np.uint64)
        exact, rough = np.where(u > v, u64 - v64, v64 - u64), np.abs(x - y)
        return np.where(rough < 2.0**63, exact.astype(np.float64), rough)
    finite = np.isfinite(x) & np.isfinite(y)
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    with np.errstate(over="ignore", invalid="ignore"):
        distance = np.minimum(np.abs(x - y), UNBOUNDED)
    return np.where(same, 0.0, np.where(finite, distance, np.inf))


def _log10_norm(x: Floats) -> float:
    """log10 of the Euclidean norm, scaled so that squares neither overflow nor vanish."""
    scale = float(np.abs(x).max())
    if scale == 0:
        return -math.inf
    return math.log10(scale) + 0.5 * math.log10(float(np.sum(np.square(x / scale))))


def _cosine(x: Floats, y: Floats) -> float:
    x_scale, y_scale = float(np.abs(x).max()), float(np.abs(y).max())
    if x_scale == 0 or y_scale == 0:
        return float(x_scale == y_scale)
    x, y = np.ravel(x) / x_scale, np.ravel(y) / y_scale
    return float(np.clip(np.vdot(x, y) / (np.linalg.norm(x) * np.linalg.norm(y)), -1.0, 1.0))


def _plain(element: object) -> float | int:
    value = np.asarray(element)
    return int(value) if _is_exact(value) else float(value)
