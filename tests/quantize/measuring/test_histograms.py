"""Ranges read off histograms, against their definitions written out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("onnx", reason="edgekit.quantize reads graphs with onnx")

from edgekit.quantize.measuring.histograms import (
    Histogram,
    divergences,
    entropy_range,
    percentile_range,
)

COUNTS = st.lists(st.integers(0, 50), min_size=12, max_size=24).filter(any)


def divergence_by_hand(counts: list[int], start: int, end: int, levels: int) -> float:
    """Build P and Q a bin at a time, as the file's docstring says them."""
    width = end - start
    inside = [float(count) for count in counts[start:end]]
    p = list(inside)
    p[0] += sum(counts[:start])
    p[-1] += sum(counts[end:])
    level_of = [
        next(k for k in range(levels) if j < (k + 1) * width // levels) for j in range(width)
    ]
    q = []
    for j in range(width):
        bins = [i for i in range(width) if level_of[i] == level_of[j]]
        filled = sum(1 for i in bins if p[i] > 0)
        q.append(sum(inside[i] for i in bins) / filled if p[j] > 0 else 0.0)
    kept, total = sum(inside), sum(p)
    loss = 0.0
    for pj, qj in zip(p, q, strict=True):
        if pj > 0:
            if qj == 0:
                return math.inf
            loss += pj / total * math.log((pj / total) / (qj / kept))
    return loss


def spikeless(counts: list[int], zero: int) -> list[int]:
    beside = [counts[i] for i in (zero - 1, zero + 1) if 0 <= i < len(counts)]
    return [min(c, max(beside)) if i == zero else c for i, c in enumerate(counts)]


@given(COUNTS, st.data())
@settings(deadline=None)
def test_a_divergence_is_the_one_built_bin_by_bin(counts: list[int], data: Any) -> None:
    levels = data.draw(st.integers(2, 6))
    start = data.draw(st.integers(0, len(counts) - levels))
    end = data.draw(st.integers(start + levels, len(counts)))
    found = divergences(np.array(counts, float), start, np.array([end]), levels=levels)
    expected = divergence_by_hand(counts, start, end, levels)
    assert found[0] == pytest.approx(expected, abs=1e-9)


@given(COUNTS, st.integers(0, 23), st.integers(2, 6))
@settings(deadline=None)
def test_entropy_finds_the_window_that_a_search_by_hand_finds(
    counts: list[int], zero: int, levels: int
) -> None:
    bins = len(counts)
    zero = min(zero, bins - 1)
    low = -float(zero) - 0.5  # a bin is 1 wide, and zero in the middle of its bin
    found = entropy_range(Histogram(low, low + bins, np.array(counts)), levels=levels, steps=bins)
    flat = spikeless(counts, zero)
    losses = {
        (a, b): divergence_by_hand(flat, a, b, levels)
        for a in range(zero + 1)
        for b in range(zero + 1, bins + 1)
        if b - a >= levels and any(flat[a:b])
    }
    window = (round(found[0] - low), round(found[1] - low))
    least = min(losses.values(), default=math.inf)
    if least == math.inf:
        assert window == (0, bins)
    else:
        assert losses[window] == pytest.approx(least, abs=1e-9)


def test_entropy_keeps_a_flat_range_whole() -> None:
    assert entropy_range(Histogram(-1.0, 1.0, np.full(8192, 100))) == (-1, 1)


def test_entropy_clips_a_few_far_numbers() -> None:
    numbers = np.append(np.random.default_rng(0).normal(0, 1, 200_000), [-30.0, 50.0])
    counts, _ = np.histogram(numbers, bins=8192, range=(-30, 50))
    low, high = entropy_range(Histogram(-30.0, 50.0, counts))
    assert -6 < low < -2
    assert 2 < high < 6


def test_a_relu_s_zeros_do_not_narrow_the_range() -> None:
    counts = np.full(4096, 50)
    counts[0] = 10_000_000
    assert entropy_range(Histogram(0.0, 6.0, counts)) == (0, 6)


def test_symmetric_integers_get_a_range_of_the_absolute_values() -> None:
    rng = np.random.default_rng(0)
    numbers = np.concatenate([rng.normal(0, 1, 1_000_000), [-40.0, 12.0]])
    counts, _ = np.histogram(numbers, bins=8192, range=(-40, 12))
    low, high = entropy_range(Histogram(-40.0, 12.0, counts), symmetric=True)
    assert low == -high
    assert 2 < high < 8


def test_a_percentile_is_numpy_s_to_the_width_of_a_bin() -> None:
    numbers = np.random.default_rng(0).normal(1, 2, 200_000)
    low, high = float(numbers.min()), float(numbers.max())
    counts, _ = np.histogram(numbers, bins=8192, range=(low, high))
    found = percentile_range(Histogram(low, high, counts), 99.0)
    expected = np.percentile(numbers, [0.5, 99.5])
    assert found == pytest.approx(expected.tolist(), abs=2 * (high - low) / 8192)


@given(COUNTS, st.floats(-5, 5), st.floats(51, 100))
@settings(deadline=None)
def test_a_percentile_drops_no_more_than_it_may(
    counts: list[int], low: float, percentile: float
) -> None:
    histogram = Histogram(low, low + len(counts), np.array(counts))
    start, end = percentile_range(histogram, percentile)
    assert low <= start <= end <= low + len(counts)
    if low <= 0 <= low + len(counts):
        assert start <= 0 <= end
    edges = low + np.arange(len(counts) + 1)
    may = sum(counts) * (100 - percentile) / 200 + 1e-6
    assert sum(c for c, edge in zip(counts, edges[1:], strict=True) if edge <= start - 1e-9) <= may
    assert sum(c for c, edge in zip(counts, edges, strict=False) if edge >= end + 1e-9) <= may


def test_the_hundredth_percentile_is_all_that_was_met() -> None:
    counts = np.array([3, 0, 1, 4])
    assert percentile_range(Histogram(-2.0, 2.0, counts), 100) == (-2, 2)
