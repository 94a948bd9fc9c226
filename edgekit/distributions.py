"""Probabilities that intervals rest on: the binomial and Student's t distribution, exactly.

Both are the incomplete beta function, so nothing here needs more than the standard library.
"""

from __future__ import annotations

import math

ALPHA = 0.05
"""How often a one-sided bound may be wrong: one time in twenty."""

_TINY = 1e-300
_STEPS = 100_000


def share_upper(successes: float, n: float, *, alpha: float = ALPHA) -> float:
    """Give Clopper and Pearson's upper bound of a share, with confidence 1 - `alpha`.

    Biometrika 26 (1934): the largest share at which so few successes, or fewer, still have a
    probability of `alpha`. Numbers that aren't whole lie between those of their neighbours.
    """
    if successes >= n:
        return 1.0
    low, high = successes / n, 1.0
    while high - low > 1e-12 * high:
        middle = 0.5 * (low + high)
        if binomial_at_most(successes, n, middle) > alpha:
            low = middle
        else:
            high = middle
    return high


def share_lower(successes: float, n: float, *, alpha: float = ALPHA) -> float:
    """Give Clopper and Pearson's lower bound of a share, with confidence 1 - `alpha`."""
    return 1.0 - share_upper(n - successes, n, alpha=alpha)


def binomial_at_most(k: float, n: float, p: float) -> float:
    """Give P(X <= k) of n trials with probability p: I(1 - p; n - k, k + 1)."""
    if k < 0:
        return 0.0
    if k >= n or p <= 0.0:
        return 1.0
    if p >= 1.0:
        return 0.0
    return _incomplete_beta(n - k, k + 1, 1.0 - p, rest=p)


def student_quantile(freedom: int, *, alpha: float = ALPHA) -> float:
    """Give the t that Student's distribution exceeds with probability `alpha`, below one half.

    P(T > t) = I(f / (f + t²); f / 2, 1 / 2) / 2.
    """

    def above(t: float) -> float:
        x = freedom / (freedom + t * t)
        return 0.5 * _incomplete_beta(0.5 * freedom, 0.5, x, rest=t * t / (freedom + t * t))

    low, high = 0.0, 1.0
    while above(high) > alpha:
        low, high = high, 2 * high
    while high - low > 1e-12 * high:
        middle = 0.5 * (low + high)
        if above(middle) > alpha:
            low = middle
        else:
            high = middle
    return high


def _incomplete_beta(a: float, b: float, x: float, *, rest: float) -> float:
    """Give the regularized incomplete beta function I(x; a, b), where `rest` is 1 - x.

    By its continued fraction, DLMF 8.17.22, on whichever side of the mean that converges.
    """
    if x <= 0.0 or rest <= 0.0:
        return float(x > 0.0)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(log_front + a * math.log(x) + b * math.log(rest))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1.0 - front * _fraction(b, a, rest) / b


def _fraction(a: float, b: float, x: float) -> float:
    """Evaluate the continued fraction with Lentz's method (Applied Optics 15, 1976)."""
    c = 1.0
    d = 1.0 / (1.0 - (a + b) * x / (a + 1) or _TINY)
    value = d
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / (1.0 + term * d or _TINY)
            c = 1.0 + term / c or _TINY
            value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return value
