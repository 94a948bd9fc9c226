"""The paired bound holds with 95 % for every truth, which enumeration proves where n is small."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.distributions import share_upper
from edgekit.paired import order_of, upper_bound


@pytest.mark.parametrize("cases", [1, 2, 3, 4, 5, 6, 7, 9, 13])
def test_the_bound_holds_in_95_of_100_for_every_truth_on_a_grid(cases: int) -> None:
    bounds = {
        (b, c): upper_bound(cases, b, c) for b in range(cases + 1) for c in range(cases + 1 - b)
    }
    counts = np.array(list(bounds))
    found = np.array(list(bounds.values()))
    ways = np.array([math.comb(cases, b) * math.comb(cases - b, c) for b, c in bounds])
    worst = 1.0
    for p12 in np.linspace(0, 1, 41):
        for p21 in np.linspace(0, 1 - p12, 33):
            rest = max(1 - p12 - p21, 0.0)
            chance = ways * p12 ** counts[:, 0] * p21 ** counts[:, 1]
            chance = chance * rest ** (cases - counts.sum(axis=1))
            assert chance.sum() == pytest.approx(1)
            worst = min(worst, float(chance[found >= p12 - p21 - 1e-12].sum()))
    assert worst >= 0.95


def test_the_bound_holds_where_changes_are_few_among_many() -> None:
    cases, most = 240, 13
    bounds = {(b, c): upper_bound(cases, b, c) for b in range(most) for c in range(most)}
    ways = {(b, c): math.comb(cases, b) * math.comb(cases - b, c) for b, c in bounds}
    for p12 in (0.001, 0.004, 0.01, 0.0125, 0.016):
        for p21 in (0.0, 0.0005, 0.004, 0.01, 0.016):
            rest = 1 - p12 - p21
            held = math.fsum(
                ways[b, c] * p12**b * p21**c * rest ** (cases - b - c)
                for (b, c), bound in bounds.items()
                if bound >= p12 - p21
            )
            # What lies outside of the table counts as missed.
            assert held >= 0.95


@pytest.mark.parametrize(
    ("harmful", "helpful", "percent"),
    [(0, 0, 0.200), (3, 0, 0.516), (10, 0, 1.128), (3, 3, 0.322), (10, 10, 0.519), (0, 5, -0.106)],
)
def test_the_bound_of_1500_cases_is_the_known_one(
    harmful: int, helpful: int, percent: float
) -> None:
    assert 100 * upper_bound(1500, harmful, helpful) == pytest.approx(percent, abs=1.5e-3)


@settings(max_examples=40, deadline=None)
@given(cases=st.integers(20, 2000), data=st.data())
def test_the_bound_is_no_wider_than_that_of_the_harmful_alone(
    cases: int, data: st.DataObject
) -> None:
    # Where all cases but three are harmful it is wider by a tenth of a case, and no less right.
    harmful = data.draw(st.integers(0, min(cases // 2, 40)))
    helpful = data.draw(st.integers(0, min(cases - harmful, 40)))
    bound = upper_bound(cases, harmful, helpful)
    # By more than what the bound is rounded up by: a two-hundredth of a case.
    assert bound <= share_upper(harmful, cases) + 0.005 / cases
    assert bound >= (harmful - helpful) / cases


@settings(max_examples=30, deadline=None)
@given(cases=st.integers(2, 400), data=st.data())
def test_more_helpful_or_fewer_harmful_cases_never_widen_it(
    cases: int, data: st.DataObject
) -> None:
    harmful = data.draw(st.integers(0, cases - 1))
    helpful = data.draw(st.integers(0, cases - 1 - harmful))
    bound = upper_bound(cases, harmful, helpful)
    rounding = 0.005 / cases
    assert upper_bound(cases, harmful, helpful + 1) <= bound + rounding
    assert upper_bound(cases, harmful + 1, helpful) >= bound - rounding


@pytest.mark.parametrize(
    ("cases", "harmful", "helpful"),
    [(1, 1, 0), (1, 0, 1), (7, 7, 0), (7, 0, 7), (7, 3, 4), (1500, 400, 400), (1500, 1, 1499)],
)
def test_the_bound_is_a_share_at_the_ends_too(cases: int, harmful: int, helpful: int) -> None:
    assert (harmful - helpful) / cases <= upper_bound(cases, harmful, helpful) <= 1


def test_the_order_is_near_the_bound_where_cases_are_many() -> None:
    assert order_of(20_000, 100, 90) == pytest.approx(upper_bound(20_000, 100, 90), rel=0.01)
    # It takes rates that aren't whole, between those of their neighbours.
    assert order_of(500, 2, 1) < order_of(500, 2.5, 1) < order_of(500, 3, 1)
