"""From ranges to steps of 8 bits."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.package.values import QuantRules
from edgekit.quantize.qdq.spans import steps_of, usable

UINT8 = QuantRules()
INT8 = QuantRules(activation="int8")
SYMMETRIC = msgspec.structs.replace(INT8, symmetric=True)
ends = st.floats(-(2.0**100), 2.0**100, allow_subnormal=False, width=32)


@given(ends, ends, st.sampled_from([UINT8, INT8, SYMMETRIC]))
def test_a_range_is_held_to_half_a_step(a: float, b: float, rules: QuantRules) -> None:
    low, high = sorted((a, b))
    steps = steps_of(low, high, rules=rules)
    lowest, highest = (0, 255) if rules.activation == "uint8" else (-128, 127)
    assert steps.scale > 0
    assert np.isfinite(np.float32(steps.scale))
    assert lowest <= steps.zero_point <= highest
    if rules.symmetric:
        assert steps.zero_point == 0
        return
    reached = [(end - steps.zero_point) * steps.scale for end in (lowest, highest)]
    # 0 itself is exact, and either end is at most half a step (and a rounding) away.
    assert reached[0] <= low + steps.scale * 0.51
    assert reached[1] >= high - steps.scale * 0.51


@given(st.floats(2**-20, 2**20, width=32))
def test_nothing_stands_for_more_than_a_cap(cap: float) -> None:
    steps = steps_of(0.0, cap, rules=UINT8, capped=True)
    assert steps.zero_point == 0
    assert np.float32(255) * np.float32(steps.scale) <= np.float32(cap)


def test_a_range_that_is_none_gets_steps_of_1() -> None:
    for rules in (UINT8, INT8, SYMMETRIC):
        assert steps_of(0.0, 0.0, rules=rules).scale == 1


def test_a_relu_starts_at_the_lowest_integer() -> None:
    assert steps_of(0.0, 3.0, rules=UINT8).zero_point == 0
    assert steps_of(0.5, 3.0, rules=INT8).zero_point == -128


@pytest.mark.parametrize(
    ("low", "high", "fits"),
    [(-1, 1, True), (0, 0, True), (0, np.inf, False), (np.nan, 1, False), (1, -1, False)],
)
def test_a_range_must_be_finite(low: float, high: float, fits: bool) -> None:
    assert usable(low, high) is fits
