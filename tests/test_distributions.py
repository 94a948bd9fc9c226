"""The binomial and Student's distribution, against sums and tables."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.distributions import binomial_at_most, share_lower, share_upper, student_quantile


@given(n=st.integers(1, 60), k=st.integers(0, 60), p=st.floats(0.001, 0.999))
def test_the_binomial_is_the_sum_of_its_terms(n: int, k: int, p: float) -> None:
    summed = math.fsum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(min(k, n) + 1))
    assert binomial_at_most(k, n, p) == pytest.approx(summed, rel=1e-9, abs=1e-13)


@pytest.mark.parametrize(
    ("k", "n", "p", "expected"),
    [(-1, 5, 0.5, 0.0), (5, 5, 0.5, 1.0), (2, 5, 0.0, 1.0), (2, 5, 1.0, 0.0)],
)
def test_the_binomial_has_ends(k: int, n: int, p: float, expected: float) -> None:
    assert binomial_at_most(k, n, p) == expected


@given(n=st.integers(1, 5000), data=st.data())
def test_a_shares_bound_leaves_one_in_twenty(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    high, low = share_upper(k, n), share_lower(k, n)
    assert 0 <= low <= k / n <= high <= 1
    if k < n:
        assert binomial_at_most(k, n, high) == pytest.approx(0.05, rel=1e-6)
    if k > 0:
        assert 1 - binomial_at_most(k - 1, n, low) == pytest.approx(0.05, rel=1e-6)


def test_a_shares_bounds_are_the_known_ones() -> None:
    assert share_upper(0, 1500) == pytest.approx(1 - 0.05 ** (1 / 1500))
    assert 100 * share_upper(0, 899) == pytest.approx(0.333, abs=1e-3)
    assert 100 * share_upper(3, 1500) == pytest.approx(0.516, abs=1e-3)
    assert (share_lower(0, 9), share_upper(9, 9)) == (0.0, 1.0)
    # A rate that isn't whole lies between its neighbours.
    assert share_upper(2, 100) < share_upper(2.5, 100) < share_upper(3, 100)


@pytest.mark.parametrize(
    ("freedom", "expected"),
    [(1, 6.313752), (2, 2.919986), (6, 1.943180), (29, 1.699127), (1499, 1.645871)],
)
def test_students_quantile_is_that_of_the_tables(freedom: int, expected: float) -> None:
    assert student_quantile(freedom) == pytest.approx(expected, abs=1e-6)
