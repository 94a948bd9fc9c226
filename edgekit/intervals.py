"""One-sided bounds that accuracy budgets are judged by, and the samples that would decide.

Each bound holds with 95 % on its own side: what a budget allows is passed by the bound of the
harmful side, and broken by the other. From `low` to `high` it is thus an interval of 90 %.

Shares and paired drops are exact: they hold with 95 % at least, whatever the truth is. The mean of
numbers can't be had so: whatever was seen, one case in a thousand may be of a kind that wasn't.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from edgekit import paired
from edgekit.distributions import (
    ALPHA,
    share_lower,
    share_upper,
    student_quantile,
)
from edgekit.errors import BadValue
from edgekit.metrics import Estimate

EXACT_SHARE = "Clopper-Pearson, one-sided 95 % each way"
EXACT_DROP = "paired, exact, one-sided 95 % each way"
SKEWED_MEAN = "Student and Hall, one-sided 95 % each way"

_MOST_SAMPLES = 10**8
_CHECKED = 50_000
"""Up to so many samples the paired bound itself is asked whether they would decide."""


class Changes(msgspec.Struct, frozen=True):
    """Cases in which a candidate differs from the original in being right.

    `harmful` are those that only the original has right, `helpful` those that only the candidate
    has.
    """

    cases: int
    harmful: int
    helpful: int


class Spread(msgspec.Struct, frozen=True):
    """How numbers of at most 1, one a case, are spread: what a bound of their mean needs.

    `deviation` is that of the sample (divided by n - 1), `skewness` the third standardized moment,
    0 where all are equal; `lowest` is the least of them.
    """

    n: int
    mean: float
    deviation: float
    skewness: float
    lowest: float


def share(successes: int, n: int) -> Estimate:
    """Estimate a share with Clopper and Pearson's exact bounds (Biometrika 26, 1934).

    Raises:
        BadValue: successes outside 0..n.
    """
    if not 0 <= successes <= n:
        raise BadValue(what="successes", asked=f"{successes} of {n}", expected="0 to n")
    if n == 0:
        return Estimate(0.0, 0.0, 1.0, 0, EXACT_SHARE)
    return Estimate(
        successes / n, share_lower(successes, n), share_upper(successes, n), n, EXACT_SHARE
    )


def drop(changes: Changes) -> Estimate:
    """Estimate how many more of the right answers the original has, as a share of the cases.

    The bounds are those of `edgekit.paired`, exact and unconditional.

    Raises:
        BadValue: counts that can't be.
    """
    n, harmful, helpful = changes.cases, changes.harmful, changes.helpful
    if min(harmful, helpful) < 0 or harmful + helpful > n:
        raise BadValue(
            what="changes",
            asked=f"{harmful} harmful and {helpful} helpful of {n}",
            expected="no more of them than cases",
        )
    if n == 0:
        return Estimate(0.0, -1.0, 1.0, 0, EXACT_DROP)
    return Estimate(
        value=(harmful - helpful) / n,
        low=-paired.upper_bound(n, helpful, harmful),
        high=paired.upper_bound(n, harmful, helpful),
        n=n,
        method=EXACT_DROP,
    )


def spread(values: ArrayLike) -> Spread:
    """Sum up numbers, one a case.

    Raises:
        BadValue: there is none, or one isn't finite.
    """
    x = np.asarray(values, np.float64)
    if not x.size or not np.isfinite(x).all():
        raise BadValue(what="values", asked="none, or not finite", expected="finite numbers")
    lost = 1.0 - x  # near 1 the differences are what counts
    mean, lowest = float(lost.mean()), float(x.min())
    away = lost - mean
    second = float(np.mean(np.square(away)))
    # Below its own rounding a difference is none: equal numbers have no skewness.
    if second <= (4 * np.finfo(np.float64).eps * max(abs(mean), 1.0)) ** 2:
        return Spread(x.size, 1.0 - mean, 0.0, 0.0, lowest)
    skewness = -float(np.mean(away**3)) / second**1.5
    deviation = math.sqrt(second * x.size / (x.size - 1))
    return Spread(x.size, 1.0 - mean, deviation, skewness, lowest)


def mean(found: Spread, *, least: float = -1.0) -> Estimate:
    """Estimate a mean of numbers between `least` and 1, most of them near 1.

    The lower bound is the lowest of three. Student's t is right for numbers that are spread evenly.
    Hall's transformation (JRSS B 54, 1992, page 224) takes the skewness out first, for which
    Student's is far too narrow: 79 % for seven numbers of a lognormal loss. And a share of cases
    so large that none of them may have been seen (1 - 0.05^(1/n)) could be as much worse again as
    the worst that was, which is what is left where all numbers are equal. The upper bound is the
    higher of the first two.

    None of it knows of rare cases that are worse than all that were seen.
    """
    return Estimate(
        value=found.mean,
        low=_lower(found, found.n, least=least),
        high=_upper(found, found.n),
        n=found.n,
        method=SKEWED_MEAN,
    )


def samples_for_share(successes: int, n: int, *, limit: float) -> int | None:
    """Count the samples at which the same share would be told from `limit`; None: no number is."""
    rate = successes / n if n else limit
    if rate == limit:
        return None
    if rate > limit:
        return _smallest(n, lambda more: share_lower(rate * more, more) >= limit)
    return _smallest(n, lambda more: share_upper(rate * more, more) < limit)


def samples_for_drop(changes: Changes, *, limit: float) -> int | None:
    """Count the samples at which the same changes would tell the drop from `limit`.

    None where no number would: it lies on the limit. Beyond 50,000 samples the order of
    `edgekit.paired` stands for its bound, which is within a hundredth of it there.
    """
    n = changes.cases
    value = (changes.harmful - changes.helpful) / n if n else limit
    if value == limit:
        return None
    bad, good, most = changes.harmful, changes.helpful, limit
    if value > limit:
        bad, good, most = good, bad, -limit

    def about(more: int) -> bool:
        return paired.order_of(more, bad * more / n, good * more / n) <= most

    def decides(more: int) -> bool:
        return paired.upper_bound(more, round(bad * more / n), round(good * more / n)) <= most

    found = _smallest(n, about)
    if found is None or found > _CHECKED or decides(found):
        return found
    # The bound is rounded up a little: a few more samples than the order says.
    return _smallest(found, decides, step=max(1, found // 100))


def samples_for_mean(found: Spread, *, limit: float, least: float = -1.0) -> int | None:
    """Count the samples at which numbers spread as these would tell their mean from `limit`."""
    if found.mean == limit:
        return None
    if found.mean > limit:
        return _smallest(found.n, lambda n: _lower(found, n, least=least) >= limit)
    return _smallest(found.n, lambda n: _upper(found, n) < limit)


def _smallest(n: int, decides: Callable[[int], bool], *, step: int = 0) -> int | None:
    """Find the smallest number above `n` that decides; all larger ones are taken to decide too.

    The first one tried is `step` above `n`, which doubles until one decides.
    """
    step = step or max(n, 2)
    low, high = n, n + step
    while not decides(high):
        step *= 2
        low, high = high, high + step
        if high > _MOST_SAMPLES:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high


def _lower(found: Spread, n: int, *, least: float) -> float:
    if n < 2:
        return least
    step = student_quantile(n - 1) / math.sqrt(n)
    lost = 1.0 - found.mean
    unseen = 1.0 - float(ALPHA ** (1.0 / n))
    # What is lost is skewed the other way round than what is kept.
    most = max(
        lost + found.deviation * step,
        lost - found.deviation * _untransformed(-step, -found.skewness, n),
        lost + unseen * (1.0 - found.lowest),
    )
    return max(1.0 - most, least)


def _upper(found: Spread, n: int) -> float:
    if n < 2:
        return 1.0
    step = student_quantile(n - 1) / math.sqrt(n)
    lost = 1.0 - found.mean
    fewest = min(
        lost - found.deviation * step,
        lost - found.deviation * _untransformed(step, -found.skewness, n),
    )
    return min(1.0 - fewest, 1.0)


def _untransformed(q: float, skewness: float, n: int) -> float:
    """Turn Hall's transformation back: w + s·w²/3 + s²·w³/27 + s/(6n) = q, of skewness s."""
    if abs(skewness) < 1e-6:
        return q
    inside = 1.0 + skewness * (q - skewness / (6 * n))
    return 3.0 * (math.copysign(abs(inside) ** (1.0 / 3.0), inside) - 1.0) / skewness
