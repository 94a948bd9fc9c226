"""What raw timings say: computed when asked, from samples in nanoseconds; numpy only.

The samples of one candidate are a list of starts (fresh processes), each a list of rounds, each a
list of durations in ns, warm-ups left out.

Samples of one process share its memory layout and its minute, so they are not independent: over
fresh pairs of processes a ratio of p50s has a deviation of about 9 %. Only starts are independent,
so the intervals of `speedup` and `p50_estimate_ms` come from the starts; `percentile_ms` says what
its own covers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import BadValue
from edgekit.metrics import Estimate

Starts: TypeAlias = Sequence[Sequence[Sequence[float]]]
"""Durations in ns: starts of rounds of samples."""

NS_PER_MS = 1e6

CONFIDENCE = 0.95

SPREAD_LIMIT = 0.10
"""Standard deviation over mean above which a timing is called unstable."""

CLOCK_STEPS = 100
"""A duration of fewer clock steps than this can't be told to 1 %."""


def p50_ms(starts: Starts) -> float:
    """Take the median of all samples, in ms."""
    return float(np.median(_pooled_ms(starts)))


def mean_ms(starts: Starts) -> float:
    """Take the mean of all samples, in ms."""
    return float(np.mean(_pooled_ms(starts)))


def p90_ms(starts: Starts) -> float:
    """Take the sample that 90 % of all samples don't exceed, in ms: a description, no estimate."""
    return _nearest_rank(np.sort(_pooled_ms(starts)), 90)


def throughput_per_s(starts: Starts, batch: int = 1) -> float:
    """Count rows a second, for calls one after another that carry `batch` rows each."""
    return batch * 1000.0 / mean_ms(starts)


def percentile_ms(starts: Starts, q: float) -> Estimate | None:
    """Estimate the `q`-th percentile of all samples, in ms, if there are enough to bound it.

    The value is the sample at rank ceil(n·q/100); the ends are the order statistics whose ranks
    are the 2.5 % and 97.5 % points of a binomial (n, q/100), right whatever the distribution
    (David and Nagaraja, "Order Statistics", 3rd ed., section 7.1). An upper end exists from
    n = 36 samples for p90, 72 for p95 and 368 for p99.

    The interval takes samples as independent: it covers what more samples of these very
    processes in these minutes would give, not what another start would.

    Returns:
        None with too few samples for both ends.

    Raises:
        BadValue: no samples, or `q` outside (0, 100).
    """
    if not 0 < q < 100:
        raise BadValue(what="a percentile", asked=f"{q:g}", expected="between 0 and 100")
    ordered = np.sort(_pooled_ms(starts))
    ranks = _bounding_ranks(len(ordered), q / 100)
    if ranks is None:
        return None
    low, high = (float(ordered[rank - 1]) for rank in ranks)
    value = _nearest_rank(ordered, q)
    return Estimate(value, low, high, len(ordered), "order statistics 95 %")


def p50_estimate_ms(starts: Starts) -> Estimate:
    """Estimate what `p50_ms` gives over very many starts, in ms, from the p50 of each start.

    The value is `p50_ms`; the interval is that of `speedup`, made wider where the value lies
    outside it.

    Raises:
        BadValue: fewer than two starts, or no samples.
    """
    p50s = [_positive(float(np.median(np.concatenate(rounds)))) for rounds in _checked(starts)]
    return _over_starts(p50_ms(starts), [p50 / NS_PER_MS for p50 in p50s])


def round_p50s(starts: Starts) -> list[list[float]]:
    """Take the median of each round, in ms, by start."""
    return [[float(np.median(r)) / NS_PER_MS for r in rounds] for rounds in _checked(starts)]


def speedup(baseline_starts: Starts, candidate_starts: Starts) -> Estimate:
    """Estimate how many times faster the candidate is, from rounds interleaved with the baseline's.

    A start's ratio is the median over its rounds of baseline p50 / candidate p50; the value is
    the median over starts. The interval is for the median over very many starts. It spans two 95 %
    intervals of the log ratios, so that it holds where either is right:

    - Student's t on k-1 degrees of freedom around their mean: right where they are normal;
    - the sign test's order statistics (Thompson 1936): right for the median of any distribution,
      though five starts reach only 93.75 % (all of them), and fewer less.

    Why both: with five starts of four rounds, heavy-tailed noise and a 9 % shift a start, t alone
    holds in 95 of 100 simulated benches, but in 89 where 40 % of the candidate's processes are 25 %
    slower. Both together hold in 95 to 98 whatever was simulated, and are 8 % wider than t in the
    normal case. The sign interval contains the median of the starts, so the value lies inside.

    Raises:
        BadValue: fewer than two starts, other numbers of starts or rounds on the two sides, or a
            round without samples or with a p50 of 0.
    """
    baseline, candidate = round_p50s(baseline_starts), round_p50s(candidate_starts)
    shapes = [[len(rounds) for rounds in side] for side in (baseline, candidate)]
    if shapes[0] != shapes[1]:
        raise BadValue(
            what="the rounds of the candidate",
            asked=f"{shapes[1]} (a number for each start)",
            expected=f"as many as the baseline's, {shapes[0]}",
        )
    ratios = [
        float(np.median([_positive(b) / _positive(c) for b, c in zip(*pair, strict=True)]))
        for pair in zip(baseline, candidate, strict=True)
    ]
    return _over_starts(float(np.median(ratios)), ratios)


def unstable(starts: Starts) -> str | None:
    """Say in a sentence why these timings can't be relied on; None where nothing speaks against it.

    Looked at: the spread (standard deviation over mean) of round p50s inside starts and of p50s
    between starts, each against `SPREAD_LIMIT`; and the clock's resolution against the p50.
    """
    rounds = round_p50s(starts)
    problems = []
    inside = [_spread(p50s) for p50s in rounds if len(p50s) > 1]
    if inside and (typical := math.sqrt(sum(s * s for s in inside) / len(inside))) > SPREAD_LIMIT:
        problems.append(f"round p50s differ by {typical:.0%} within a process")
    between = _spread([float(np.median(p50s)) for p50s in rounds])
    if between > SPREAD_LIMIT:
        problems.append(f"p50s differ by {between:.0%} from process to process")
    step_ns = time.get_clock_info("perf_counter").resolution * 1e9
    p50_ns = p50_ms(starts) * NS_PER_MS
    if p50_ns < CLOCK_STEPS * step_ns:
        problems.append(f"a call of {p50_ns:.0f} ns is near the clock's step of {step_ns:g} ns")
    return f"Unstable: {'; '.join(problems)}." if problems else None


def student_t(confidence: float, degrees: int) -> float:
    """Find t with P(|T| <= t) = `confidence` for Student's T with whole degrees of freedom.

    Bisects the closed form of Abramowitz and Stegun, 26.7.3 and 26.7.4, over theta =
    arctan(t / sqrt(degrees)).

    Raises:
        BadValue: a confidence outside (0, 1), or fewer than one degree of freedom.
    """
    if not 0 < confidence < 1 or degrees < 1:
        raise BadValue(
            what="Student's t",
            asked=f"{confidence:g} on {degrees} degrees of freedom",
            expected="a confidence between 0 and 1 on at least one",
        )

    def mass(theta: float) -> float:
        odd = degrees % 2
        term = math.cos(theta) if odd else 1.0
        total = term if degrees > 1 else 0.0
        for i in range(2 + odd, degrees - 1, 2):
            term *= math.cos(theta) ** 2 * (i - 1) / i
            total += term
        total *= math.sin(theta)
        return 2 / math.pi * (theta + total) if odd else total

    low, high = 0.0, math.pi / 2
    for _ in range(60):  # halvings, until less than a float's last digit is left
        middle = (low + high) / 2
        low, high = (middle, high) if mass(middle) < confidence else (low, middle)
    return math.sqrt(degrees) * math.tan(low)


def _over_starts(value: float, by_start: Sequence[float]) -> Estimate:
    """Put the interval that `speedup` documents around a value, from one number a start."""
    k = len(by_start)
    if k < 2:
        raise BadValue(what="the number of starts", asked=str(k), expected="2 or more")
    logs = np.sort(np.log(by_start))
    half = student_t(CONFIDENCE, k - 1) * float(np.std(logs, ddof=1)) / math.sqrt(k)
    first, last = _bounding_ranks(k, 0.5) or (1, k)
    low = min(float(np.mean(logs)) - half, float(logs[first - 1]))
    high = max(float(np.mean(logs)) + half, float(logs[last - 1]))
    # Two starts that differ a lot give ends that no float holds; rounding may exclude the value.
    low, high = math.exp(max(low, -700.0)), math.exp(min(high, 700.0))
    method = f"t and sign intervals over {k} starts, 95 %"
    return Estimate(value, min(low, value), max(high, value), k, method)


def _bounding_ranks(n: int, share: float) -> tuple[int, int] | None:
    """Find the ranks (from 1) of the order statistics that bound a quantile at 95 %, if n allows.

    The quantile lies below the l-th smallest only if fewer than l samples lie below it, and above
    the u-th only if at least u do; each may happen 2.5 % of the time.
    """
    j = np.arange(1, n + 1)
    log_choose = np.concatenate([[0.0], np.cumsum(np.log((n - j + 1) / j))])
    k = np.arange(n + 1)
    mass = np.exp(log_choose + k * math.log(share) + (n - k) * math.log1p(-share))
    miss = (1 - CONFIDENCE) / 2
    low = int(np.searchsorted(np.cumsum(mass), miss, side="right"))
    high = n + 1 - int(np.searchsorted(np.cumsum(mass[::-1]), miss, side="right"))
    return (low, high) if low >= 1 and high <= n else None


def _nearest_rank(ordered: NDArray[Any], q: float) -> float:
    return float(ordered[math.ceil(len(ordered) * q / 100) - 1])


def _spread(values: Sequence[float]) -> float:
    if len(values) < 2 or (mean := float(np.mean(values))) == 0:
        return 0.0
    return float(np.std(values, ddof=1)) / mean


def _positive(p50: float) -> float:
    if not p50 > 0:
        raise BadValue(what="a round's p50", asked=f"{p50:g}", expected="more than 0")
    return p50


def _checked(starts: Starts) -> Starts:
    if not starts or not all(rounds and all(len(r) for r in rounds) for rounds in starts):
        raise BadValue(
            what="timings", asked="without samples", expected="at least one in each round"
        )
    return starts


def _pooled_ms(starts: Starts) -> NDArray[np.float64]:
    samples = [np.asarray(r, np.float64) for rounds in _checked(starts) for r in rounds]
    return np.concatenate(samples) / NS_PER_MS
