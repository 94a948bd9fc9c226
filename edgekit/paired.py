"""The exact upper bound of a paired drop: how many more cases a candidate loses than it wins.

Of n independent cases `harmful` went from right to wrong and `helpful` from wrong to right: a
trinomial with probabilities p12, p21 and the rest, and the drop is p12 - p21. The bound is the
largest drop under which what was seen, or anything that speaks as well for the candidate, still
has a probability of 5 % for some p12 and p21 (Buehler, JASA 52, 1957). It holds with 95 % at least,
whatever p12 and p21 are; nothing in it is a normal approximation but the order in which outcomes
speak for the candidate: by the upper end of Tango's score interval (Statistics in Medicine 17,
1998), or by Clopper and Pearson's for the harmful alone, whichever is lower. The probability falls
as the drop rises, because that set of outcomes holds with each also those with fewer harmful and
with more helpful cases; so the bound is found by closing in on it from both sides.

Of p12 + p21, which the drop leaves open, only values are tried within an exact interval of
confidence 1 - `_SET_ASIDE`, which is taken off the 5 % (Berger and Boos, JASA 89, 1994).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgekit.distributions import ALPHA, binomial_at_most, share_lower, share_upper

_SET_ASIDE = 1e-5
_GRID_SLACK = 1e-5
"""Between two points of the grid the probability is no further than this above both."""
_ORDER_Z = 1.6448536269514722
"""The normal distribution's quantile of 95 %, at which the score interval of the order ends."""
_POINTS, _FINER = 48, 12
_EXACT_ENOUGH = 1e-3
"""The bound is given back from above, within this share of a case, or of the probability."""
_TINY = 1e-12

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


def upper_bound(cases: int, harmful: int, helpful: int) -> float:
    """Give the bound under which the drop lies with 95 %, as a share from -1 to 1.

    `cases` is at least 1. For the lower bound, ask for the upper one with the two counts exchanged
    and turn its sign.
    """
    if harmful == cases:
        return 1.0
    by_harmful = share_upper(harmful, cases)
    by_score = _score_upper(cases, harmful, helpful)
    order = min(by_harmful, by_score)
    seen = _Seen(cases, harmful, helpful, order=order, all_rows=by_harmful <= by_score)
    allowed = ALPHA - _SET_ASIDE - _GRID_SLACK
    step = max(0.02 * (order - (harmful - helpful) / cases), 0.25 / cases)
    low, high = order, order
    too_likely = enough = seen.probability(order)
    while enough > allowed:
        low, too_likely = high, enough
        high, step = min(high + step, 1.0), 2 * step
        enough = seen.probability(high)
    while too_likely <= allowed:
        high, enough = low, too_likely
        low, step = max(low - step, -1.0), 2 * step
        # At -1 every case is helpful, than which nothing speaks better: that is among these.
        too_likely = seen.probability(low) if low > -1.0 else 1.0
    while high - low > _EXACT_ENOUGH / cases and enough < (1 - _EXACT_ENOUGH) * allowed:
        middle = _between(low, high, too_likely / allowed, enough / allowed)
        found = seen.probability(middle)
        if found > allowed:
            low, too_likely = middle, found
        else:
            high, enough = middle, found
    return high


def _between(low: float, high: float, above: float, below: float) -> float:
    """Guess where a ratio falls just under 1, its logarithm taken as a straight line.

    The guess stays away from both ends by a fiftieth of the way, so that each step gets nearer.
    """
    top, bottom = math.log(above), math.log(max(below, 1e-12))
    share = (top + 0.5 * _EXACT_ENOUGH) / (top - bottom)
    return low + min(max(share, 0.02), 0.98) * (high - low)


def order_of(cases: float, harmful: float, helpful: float) -> float:
    """Give what outcomes are ordered by, which is about the bound; also of rates, not whole.

    The lower of the upper ends of Tango's score interval and of Clopper and Pearson's for the
    harmful alone.
    """
    return min(share_upper(harmful, cases), _score_upper(cases, harmful, helpful))


class _Seen:
    """All outcomes that speak for the candidate at least as well as the one that was seen."""

    def __init__(
        self, cases: int, harmful: int, helpful: int, *, order: float, all_rows: bool
    ) -> None:
        self._n = cases
        self._order = order
        self._harmful, self._helpful, self._all_rows = harmful, helpful, all_rows
        changed = harmful + helpful
        self._least = share_lower(changed, cases, alpha=_SET_ASIDE / 2)
        self._most = share_upper(changed, cases, alpha=_SET_ASIDE / 2)
        # Where p12 + p21 is about what was seen, the factor that ties both counts is about 1.
        self._rest = max(1 - changed / cases, 0.5 / cases)

    def probability(self, drop: float) -> float:
        """Give the highest probability of these outcomes over all p12 and p21 of that drop."""
        least = max(0.5 * (self._least - abs(drop)), 0.0)
        most = min(0.5 * (self._most - abs(drop)), 0.5 * (1 - abs(drop)) - _TINY)
        if most < least:
            return 0.0
        p12, p21 = max(drop, 0.0), max(-drop, 0.0)
        wrong = self._window(p12 + least, p12 + most)
        right = self._window(p21 + least, p21 + most)
        table = self._table(wrong, right)
        # In the root of the smaller probability the likelihood changes evenly (its Fisher
        # information is at most 8 a unit of sqrt(n p)), so an even grid leaves no peak out.
        low, high = math.sqrt(self._n * least), math.sqrt(self._n * most)
        points, best = _POINTS, 0.0
        for _ in range(3):
            roots = np.linspace(low, high, points)
            smaller = np.square(roots) / self._n
            found = self._at(p12 + smaller, p21 + smaller, table, wrong, right)
            top = int(np.argmax(found))
            best = max(best, float(found[top]))
            low, high = float(roots[max(top - 1, 0)]), float(roots[min(top + 1, points - 1)])
            points = _FINER
        return best

    def _window(self, low: float, high: float) -> Whole:
        """List the counts that have any weight at a probability between the two."""
        n = self._n
        first = math.floor(n * low - 7.5 * math.sqrt(n * low * (1 - low)) - 1)
        last = math.ceil(n * high + 7.5 * math.sqrt(n * high * (1 - high)) + 20)
        return np.arange(max(first, 0), min(last, n) + 1)

    def _table(self, wrong: Whole, right: Whole) -> Floats:
        """Weigh each outcome [right, wrong] with what depends on both counts; 0 if not in it."""
        n = self._n
        most = _most_harmful(n, right, self._order)
        seen = (right >= self._helpful) | self._all_rows
        most = np.where(seen, np.maximum(most, self._harmful), most)
        both = right[:, None] + wrong[None, :]
        inside = (wrong[None, :] <= most[:, None]) & (both <= n)
        rest = np.maximum(n - both, 0)
        middle = n * self._rest
        weight = rest * math.log(middle) - _log_factorial(rest)
        peak = middle * math.log(middle) - float(_log_factorial(np.array([middle]))[0])
        table: Floats = np.where(inside, np.exp(np.minimum(weight - peak, 700.0)), 0.0)
        return table

    def _at(self, p12: Floats, p21: Floats, table: Floats, wrong: Whole, right: Whole) -> Floats:
        """Add up the trinomial over the table, at each pair of probabilities."""
        n, middle = self._n, self._n * self._rest
        rest = np.maximum(1 - p12 - p21, _TINY)
        constant = (
            float(_log_factorial(np.array([float(n)]))[0])
            + n * np.log(rest)
            - n * math.log(middle)
            + middle * math.log(middle)
            - float(_log_factorial(np.array([middle]))[0])
        )

        def factor(p: Floats, counts: Whole) -> tuple[Floats, Floats]:
            ratio = np.log(np.maximum(p, 1e-300)) - np.log(rest) + math.log(middle)
            logs = counts[None, :] * ratio[:, None] - _log_factorial(counts)[None, :]
            peaks = logs.max(axis=1)
            return np.exp(logs - peaks[:, None]), peaks

        of_wrong, peak_wrong = factor(p12, wrong)
        of_right, peak_right = factor(p21, right)
        sums = np.einsum("gc,gc->g", of_right @ table, of_wrong)
        found: Floats = sums * np.exp(np.minimum(constant + peak_wrong + peak_right, 700.0))
        return found


def _most_harmful(n: int, right: Whole, order: float) -> Whole:
    """For each count of helpful cases, find the most harmful ones that don't exceed an order."""
    low = np.full(right.shape, -1, np.int64)
    high = n - right + 1
    while np.any(high - low > 1):
        middle = (low + high) // 2
        passes = _score(n, np.maximum(middle, 0), right, order) <= -_ORDER_Z
        passes |= middle < 0
        low, high = np.where(passes, middle, low), np.where(passes, high, middle)
    # Clopper-Pearson's bound for k lies under `order` where P(X <= k) is 5 % at most there.
    k = -1
    if order > 0:
        below, above = -1, n
        while above - below > 1:
            middle_k = (below + above) // 2
            inside = binomial_at_most(middle_k, n, order) <= ALPHA
            below, above = (middle_k, above) if inside else (below, middle_k)
        k = below
    # With more helpful cases no fewer harmful ones are let in, which holds but for rounding.
    most: Whole = np.maximum(np.maximum.accumulate(low), k)
    return most


def _score(n: float, harmful: Whole | Floats, helpful: Whole | Floats, drop: float) -> Floats:
    """Tango's score statistic: how far the counts lie from `drop`, in standard deviations.

    p21 is at its likeliest under that drop: the root of 2n·q² + B·q - helpful·drop·(1 - drop) with
    B = (2n - harmful + helpful)·drop - harmful - helpful.
    """
    linear = (2 * n - harmful + helpful) * drop - harmful - helpful
    constant = -helpful * drop * (1 - drop)
    root = np.sqrt(np.maximum(linear * linear - 8 * n * constant, 0.0))
    # Of the two forms of the root the one in which nothing cancels.
    with np.errstate(divide="ignore", invalid="ignore"):
        q = np.where(linear <= 0, (root - linear) / (4 * n), -2 * constant / (root + linear))
    q = np.maximum(np.nan_to_num(q), max(-drop, 0.0))
    variance = np.maximum(n * (2 * q + drop * (1 - drop)), 0.0)
    distance = harmful - helpful - n * drop
    with np.errstate(divide="ignore", invalid="ignore"):
        score = distance / np.sqrt(variance)
    return np.where(variance > 0, score, np.where(distance == 0, 0.0, np.copysign(1e9, distance)))


def _score_upper(n: float, harmful: float, helpful: float) -> float:
    """Find the drop from which the counts are `_ORDER_Z` standard deviations away."""
    b, c = np.array([harmful]), np.array([helpful])
    low, high = (harmful - helpful) / n, 1.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if float(_score(n, b, c, middle)[0]) > -_ORDER_Z:
            low = middle
        else:
            high = middle
    return high


_SMALL = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, 64)))])


def _log_factorial(k: Whole | Floats) -> Floats:
    """ln k!: Stirling's series, which has 14 digits from 64 on, and sums of logarithms below.

    A k that isn't whole, which only scales, is the gamma function's by the series.
    """
    x = np.maximum(np.asarray(k, np.float64), 1.0)
    series = (x + 0.5) * np.log(x) - x + 0.5 * math.log(2 * math.pi)
    series += 1 / (12 * x) - 1 / (360 * x**3) + 1 / (1260 * x**5)
    whole = np.asarray(k).dtype.kind == "i"
    if not whole:
        return series
    found: Floats = np.where(k < 64, _SMALL[np.clip(k, 0, 63)], series)
    return found
