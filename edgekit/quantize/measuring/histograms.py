"""Read a range off a histogram of what a value was.

Either drops the rarest numbers on both sides (percentile), or keeps the part of which 8 bits tell
the most (entropy), after S. Migacz, "8-bit Inference with TensorRT", GTC 2017:

    P   the counts inside the window [a, b), what lies outside of it added to the bins at its ends
    Q   the counts inside alone, merged into as many levels as the integers have, each level's
        count spread evenly over those of its bins that aren't empty
    kept: the window with the smallest divergence  KL(P || Q) = sum P log(P / Q)

What is clipped is in P and not in Q, which is the price of a narrow window; what levels can't tell
apart is the price of a wide one. Here a window may end anywhere on either side of zero, so that
values of one sign (behind a Relu) and of both have the same definition; where the integers' zero
point is 0, it is one of |v|.
"""

from __future__ import annotations

import msgspec
import numpy as np

from edgekit.tensors import Array

BINS = 8192
"""How many bins a value's numbers are counted in."""

LEVELS = 256
"""How many values 8 bits have."""

_STEPS = 128
"""At how many places a window may end: to an error of a 256th of the range."""


class Histogram(msgspec.Struct, frozen=True):
    """How many numbers fell into each of the bins of one width that fill [low, high]."""

    low: float
    high: float
    counts: Array


def percentile_range(histogram: Histogram, percentile: float) -> tuple[float, float]:
    """Return the range without the rarest numbers: (100 - percentile) / 2 per cent on each side.

    Inside a bin numbers are taken to be spread evenly. Zero, where [low, high] holds it, is inside.
    """
    counts = histogram.counts
    total = int(counts.sum())
    if total == 0:
        return histogram.low, histogram.high
    edges = np.linspace(histogram.low, histogram.high, len(counts) + 1)
    below = np.concatenate([[0], np.cumsum(counts)])
    cut = total * (100.0 - percentile) / 200.0
    # From the outside in, so that nothing is cut off where nothing is to be.
    first = max(int(np.searchsorted(below, cut, side="right")) - 1, 0)
    low = _inside(edges, first, (cut - below[first]) / max(counts[first], 1))
    last = min(int(np.searchsorted(below, total - cut, side="left")), len(counts))
    high = _inside(edges, last - 1, (total - cut - below[last - 1]) / max(counts[last - 1], 1))
    return _around_zero(low, high, histogram)


def entropy_range(
    histogram: Histogram, *, levels: int = LEVELS, symmetric: bool = False, steps: int = _STEPS
) -> tuple[float, float]:
    """Return the range whose integers lose the least information, as Kullback and Leibler say it.

    Args:
        histogram: the counts of a value.
        levels: how many values the integers have.
        symmetric: their zero point is 0, so that the range is one of |v|.
        steps: at how many places along the histogram a window may begin or end.
    """
    bins = len(histogram.counts)
    if histogram.counts.sum() == 0 or bins <= levels:
        return histogram.low, histogram.high
    if symmetric:
        levels //= 2
        if histogram.low < 0 < histogram.high:
            whole = max(-histogram.low, histogram.high)
            half = Histogram(0.0, whole, _folded(histogram, whole))
            _, end = entropy_range(half, levels=levels, steps=steps)
            return max(-end, histogram.low), min(end, histogram.high)
    counts = _without_spike(histogram)
    if not counts.any():
        return histogram.low, histogram.high
    zero = _bin_of_zero(histogram)
    step = max(bins // steps, 1)
    starts = np.arange(0, zero + 1, step)
    ends = np.unique(np.append(np.arange(bins, zero, -step), bins))
    best, found = np.inf, (0, bins)
    for start in starts:
        fitting = ends[ends - start >= levels]
        if len(fitting) == 0:
            continue
        losses = divergences(counts, int(start), fitting, levels=levels)
        # Of equal ones the widest: it clips least.
        at = len(losses) - 1 - int(np.argmin(losses[::-1]))
        if losses[at] < best:
            best, found = float(losses[at]), (int(start), int(fitting[at]))
    edges = np.linspace(histogram.low, histogram.high, bins + 1)
    return float(edges[found[0]]), float(edges[found[1]])


def divergences(counts: Array, start: int, ends: Array, *, levels: int) -> Array:
    """Compute KL(P || Q) of the windows [start, end), one for each of `ends`.

    The sum over the bins of a level is S log(S / n), of S the level's count and n its bins that
    aren't empty, so that running sums of both give every window without a loop over bins.

    Args:
        counts: float64 [bins].
        start: the first bin of all windows.
        ends: int [windows], the bin after the last; each window has at least `levels` bins.
        levels: how many levels the bins of a window are merged into.

    Returns:
        float64 [windows]; infinite where what is clipped falls into an empty level.
    """
    total = counts.sum()
    sums = np.concatenate([[0.0], np.cumsum(counts)])
    filled = np.concatenate([[0], np.cumsum(counts > 0)])
    informed = np.concatenate([[0.0], np.cumsum(_x_log_x(counts))])
    widths = ends - start
    borders = start + (np.arange(levels + 1)[None, :] * widths[:, None]) // levels
    in_level = np.diff(sums[borders], axis=1)
    bins_in_level = np.diff(filled[borders], axis=1)
    below, above = sums[start], total - sums[ends]
    first, last = counts[start], counts[ends - 1]
    # An end that is empty and gets what was clipped counts as a bin of its level.
    bins_in_level[:, 0] += (below > 0) & (first == 0)
    bins_in_level[:, -1] += (above > 0) & (last == 0)
    kept = sums[ends] - sums[start]
    with np.errstate(divide="ignore", invalid="ignore"):
        q_log = np.where(in_level > 0, np.log(in_level / bins_in_level), 0.0)
        clipped = np.where(below > 0, below * np.log(in_level[:, 0] / bins_in_level[:, 0]), 0.0)
        clipped += np.where(above > 0, above * np.log(in_level[:, -1] / bins_in_level[:, -1]), 0.0)
        p_log_p = informed[ends] - informed[start] - _x_log_x(first) - _x_log_x(last)
        p_log_p += _x_log_x(first + below) + _x_log_x(last + above)
        p_log_q = (in_level * q_log).sum(axis=1) + clipped
        # P is the counts over `total`, Q the levels' means over what was kept.
        found = (p_log_p - p_log_q) / total - np.log(total) + np.log(kept)
    return np.where(np.isfinite(found), found, np.inf)


def _x_log_x(x: Array) -> Array:
    return x * np.log(np.where(x > 0, x, 1.0))


def _folded(histogram: Histogram, whole: float) -> Array:
    """Count |v| in as many bins over [0, whole], each bin's numbers taken to be at its middle."""
    bins = len(histogram.counts)
    width = (histogram.high - histogram.low) / bins
    middles = np.abs(histogram.low + (np.arange(bins) + 0.5) * width)
    places = np.minimum((middles * (bins / whole)).astype(np.int64), bins - 1)
    return np.bincount(places, weights=histogram.counts, minlength=bins)


def _without_spike(histogram: Histogram) -> Array:
    """Return the counts, that of zero's bin not above both of its neighbours'.

    Integers have an exact zero: what a Relu made zero loses nothing, however wide a level is, and
    would be most of P.
    """
    counts = histogram.counts.astype(np.float64)
    zero = _bin_of_zero(histogram)
    if histogram.low <= 0 <= histogram.high:
        beside = np.delete(counts[max(zero - 1, 0) : zero + 2], 1 if zero else 0)
        counts[zero] = min(counts[zero], beside.max())
    return counts


def _bin_of_zero(histogram: Histogram) -> int:
    """Return the bin that holds zero, or the one that is nearest to it."""
    share = -histogram.low / (histogram.high - histogram.low)
    return min(max(int(share * len(histogram.counts)), 0), len(histogram.counts) - 1)


def _around_zero(low: float, high: float, histogram: Histogram) -> tuple[float, float]:
    if histogram.low <= 0 <= histogram.high:
        return min(low, 0.0), max(high, 0.0)
    return low, high


def _inside(edges: Array, at: int, share: float) -> float:
    return float(edges[at] + min(max(share, 0.0), 1.0) * (edges[at + 1] - edges[at]))
