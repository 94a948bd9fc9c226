"""One-sided bounds, and the samples that would decide."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import BadValue
from edgekit.intervals import (
    Changes,
    Spread,
    drop,
    mean,
    samples_for_drop,
    samples_for_mean,
    samples_for_share,
    share,
    spread,
)


def test_a_share_has_exact_bounds() -> None:
    found = share(1500, 1500)
    assert (found.value, found.high, found.n) == (1.0, 1.0, 1500)
    assert found.low == pytest.approx(0.05 ** (1 / 1500))
    assert share(0, 0).low == 0
    assert share(0, 0).high == 1
    with pytest.raises(BadValue, match="successes cannot be 3 of 2"):
        share(3, 2)


def test_a_drop_has_its_bounds_from_both_counts() -> None:
    found = drop(Changes(1500, 20, 5))
    assert found.value == pytest.approx(0.01)
    assert 0 < found.low < 0.01 < found.high
    other = drop(Changes(1500, 5, 20))
    assert (other.low, other.high) == pytest.approx((-found.high, -found.low))
    nothing = drop(Changes(0, 0, 0))
    assert (nothing.low, nothing.high, nothing.n) == (-1.0, 1.0, 0)
    with pytest.raises(BadValue, match="3 harmful and 4 helpful of 6"):
        drop(Changes(6, 3, 4))


def test_a_spread_sums_numbers_up() -> None:
    values = [0.9, 0.99, 0.999, 1.0]
    found = spread(values)
    assert (found.n, found.lowest) == (4, 0.9)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.deviation == pytest.approx(np.std(values, ddof=1))
    third = np.mean((np.array(values) - np.mean(values)) ** 3) / np.std(values) ** 3
    assert found.skewness == pytest.approx(third)
    # What differs by rounding alone doesn't differ.
    assert spread([0.3, 0.1 + 0.2]).deviation == 0
    for bad in ([], [math.nan], [1.0, math.inf]):
        with pytest.raises(BadValue):
            spread(bad)


def lost(kind: str, generator: np.random.Generator, n: int) -> tuple[np.ndarray, float]:
    """Draw losses (1 - cosine) of some kind, and say what their mean is."""
    if kind == "normal":
        return 0.05 + 0.01 * generator.standard_normal(n), 0.05
    if kind == "exponential":
        return 0.01 * generator.exponential(1, n), 0.01
    return 1e-3 * np.exp(generator.standard_normal(n)), 1e-3 * math.exp(0.5)


@pytest.mark.parametrize(
    ("kind", "n", "at_least"),
    [
        # Few skewed numbers: Student's alone would hold in 79 and 85 of 100.
        *[("normal", 7, 0.94), ("exponential", 7, 0.89), ("lognormal", 7, 0.85)],
        *[("exponential", 100, 0.92), ("lognormal", 100, 0.90), ("lognormal", 1500, 0.92)],
    ],
)
def test_the_lower_bound_of_a_mean_holds_for_skewed_losses(
    kind: str, n: int, at_least: float
) -> None:
    generator = np.random.default_rng(3)
    held, students = 0, 0
    for _ in range(400):
        losses, truth = lost(kind, generator, n)
        found = mean(spread(1 - losses))
        held += found.low <= 1 - truth
        students += found.value - 1.65 * losses.std(ddof=1) / math.sqrt(n) <= 1 - truth
        assert found.low <= found.value <= found.high
    assert held / 400 >= at_least
    assert held >= students


def test_a_mean_of_equal_numbers_is_not_certain() -> None:
    few, many = mean(spread([0.99] * 7)), mean(spread([0.99] * 1500))
    # A third of all cases may not have been seen among seven: as bad again as these.
    assert few.low == pytest.approx(0.99 - 0.01 * (1 - 0.05 ** (1 / 7)))
    assert few.low < many.low < 0.99
    assert few.value == pytest.approx(0.99)
    assert few.high == pytest.approx(0.99)
    exact = mean(spread([1.0] * 7))
    assert (exact.low, exact.value, exact.high) == (1.0, 1.0, 1.0)


def test_of_one_number_nothing_is_known() -> None:
    found = mean(spread([0.9999]))
    assert (found.low, found.high, found.n) == (-1.0, 1.0, 1)
    assert mean(spread([0.5]), least=0.0).low == 0.0


@given(values=st.lists(st.floats(-1, 1), min_size=1, max_size=40))
def test_a_mean_lies_within_its_bounds(values: list[float]) -> None:
    found = mean(spread(values))
    assert -1 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 2000), limit=st.floats(0.5, 0.999), data=st.data())
def test_so_many_samples_decide_on_a_share(n: int, limit: float, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n))
    needed = samples_for_share(successes, n, limit=limit)
    if needed is None:
        assert abs(successes / n - limit) < 1e-3
    elif needed < 10**6:
        assert needed > n
        found = share(round(successes * needed / n), needed)
        # Rates that can't be had of whole cases are off by up to one.
        assert found.low >= limit - 1 / needed or found.high < limit + 1 / needed


@settings(max_examples=12, deadline=None)
@given(n=st.integers(50, 800), data=st.data())
def test_so_many_samples_decide_on_a_drop(n: int, data: st.DataObject) -> None:
    harmful, helpful = data.draw(st.integers(0, n // 25)), data.draw(st.integers(0, n // 25))
    needed = samples_for_drop(Changes(n, harmful, helpful), limit=0.005)
    if needed is None:
        assert abs((harmful - helpful) / n - 0.005) < 1e-4
    elif needed <= 50_000:
        times = needed / n
        found = drop(Changes(needed, round(harmful * times), round(helpful * times)))
        assert found.high <= 0.005 or found.low >= 0.005


def test_samples_for_a_drop_are_those_of_the_rule_of_three() -> None:
    # Without a harmful change: 0.95 = 1 - (1 - limit)^n.
    assert samples_for_drop(Changes(300, 0, 0), limit=0.005) == pytest.approx(598, abs=2)
    assert samples_for_drop(Changes(1500, 0, 0), limit=0.001) == pytest.approx(2995, abs=5)


def test_no_number_decides_on_what_lies_on_the_limit() -> None:
    assert samples_for_share(99, 100, limit=0.99) is None
    assert samples_for_drop(Changes(1000, 7, 2), limit=0.005) is None
    assert samples_for_mean(Spread(9, 0.75, 0.01, -1.0, 0.7), limit=0.75) is None
    assert samples_for_share(0, 0, limit=0.9) is None


def test_samples_for_a_mean_decide_on_either_side() -> None:
    found = spread(1 - 1e-3 * np.exp(np.random.default_rng(0).standard_normal(7)))
    for limit in (0.9975, 0.9992):
        needed = samples_for_mean(found, limit=limit)
        assert needed is not None
        as_many = mean(Spread(needed, *[getattr(found, f) for f in found.__struct_fields__[1:]]))
        assert as_many.low >= limit or as_many.high < limit
        fewer = mean(Spread(needed - 1, *[getattr(found, f) for f in found.__struct_fields__[1:]]))
        assert fewer.low < limit <= fewer.high
