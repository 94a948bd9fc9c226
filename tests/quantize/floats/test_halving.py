"""How float32 numbers become fp16 ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("onnx", reason="the module rewrites onnx graphs")

from edgekit.quantize.floats.formats import FP16
from edgekit.quantize.floats.halving import half_of


@given(st.lists(st.floats(width=32), max_size=20))
def test_numbers_are_rounded_to_the_nearest_and_stay_finite(numbers: list[float]) -> None:
    array = np.array(numbers, np.float32)
    half = half_of(array)
    assert half.dtype == np.float16
    inside = np.abs(array) <= FP16.largest
    np.testing.assert_array_equal(half[inside], array[inside].astype(np.float16))
    np.testing.assert_array_equal(np.isfinite(half), np.isfinite(array))
    np.testing.assert_array_equal(np.isnan(half), np.isnan(array))
    beyond = np.isfinite(array) & ~inside
    np.testing.assert_array_equal(half[beyond], np.sign(array[beyond]) * FP16.largest)


def test_the_lowest_end_may_be_another() -> None:
    half = half_of(np.array([-1e30, -np.inf, -40000, -5, 1e30], np.float32), lowest=-30000.0)
    assert half.tolist() == [-30000, -np.inf, -30000, -5, FP16.largest]
