"""Numbers as people read them."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.metrics import UNBOUNDED, Estimate
from edgekit.report.figures import MISSING, SMALLEST, count, digits, error, share, size, times


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (0.0687, "0.0687"),
        (0.99949, "0.999"),
        (0.9996, "1.00"),
        (3.614, "3.61"),
        (9.996, "10.0"),
        (23.04, "23.0"),
        (99.96, "100"),
        (991.4, "991"),
        (1234567.0, "1,234,567"),
        (0.00012345, "0.000123"),
        (1e-9, "<0.000001"),
        (math.nan, MISSING),
        (math.inf, MISSING),
    ],
)
def test_digits_keeps_three_that_matter(value: float, shown: str) -> None:
    assert digits(value) == shown


@given(st.floats(SMALLEST, 1e12))
def test_digits_is_never_a_power_of_ten_and_is_right(value: float) -> None:
    shown = digits(value)
    assert re.fullmatch(r"\d{1,3}(,\d{3})*(\.\d+)?", shown)
    assert float(shown.replace(",", "")) == pytest.approx(value, rel=0.0051)
    if value < 1000:
        assert len(shown.replace(".", "").lstrip("0")) <= 3


@given(st.floats(SMALLEST, 1e9), st.floats(SMALLEST, 1e9))
def test_digits_keeps_the_order(a: float, b: float) -> None:
    smaller, larger = sorted((a, b))
    assert float(digits(smaller).replace(",", "")) <= float(digits(larger).replace(",", ""))


@given(st.floats(0, UNBOUNDED))
def test_an_error_is_short(value: float) -> None:
    assert len(error(value)) <= len("unbounded")


def test_an_error_says_nothing_and_everything() -> None:
    assert (error(0.0), error(4.94e-6), error(UNBOUNDED)) == ("0", "4.9e-06", "unbounded")


def estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value, low, high, 5, "test")


def test_intervals_stand_in_brackets() -> None:
    assert times(estimate(3.55, 3.412, 3.7)) == "×3.55 [3.41, 3.70]"
    assert share(estimate(0.979, 0.97105, 0.985)) == "97.9 % [97.1, 98.5]"
    assert share(None) == MISSING


def test_a_share_that_is_not_all_is_not_written_as_all() -> None:
    assert share(estimate(0.99996, 0.9991, 1.0)) == "99.9 % [99.9, 100.0]"


@pytest.mark.parametrize(
    ("nbytes", "shown"),
    [(1_690_000, "1.69 MB"), (900, "0.900 kB"), (99_999, "100 kB"), (2.5e9, "2,500 MB")],
)
def test_sizes_carry_their_unit(nbytes: float, shown: str) -> None:
    assert size(nbytes) == shown


def test_counts_agree_with_their_noun() -> None:
    assert count(1, "thread") == "1 thread"
    assert count(1500, "case") == "1,500 cases"
    assert count(0, "process", plural="processes") == "0 processes"
