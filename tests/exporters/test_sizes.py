from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgekit.tensors import Dim, Signature, TensorSpec, dtype_named, resize
from exporters.sizes import drawn, in_words, sizes_to_try

INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]


@st.composite
def ranged(draw: st.DrawFn) -> tuple[dict[str, Dim], dict[str, int]]:
    dims, example = {}, {}
    for name in draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True)):
        low = draw(st.integers(1, 40))
        high = draw(st.none() | st.integers(low + 1, 2000))
        dims[name] = Dim(name, low, high)
        example[name] = draw(st.integers(low, high or 100))
    return dims, example


@given(ranged(), st.integers(1, 5000))
def test_sizes_reach_one_the_example_the_next_a_large_and_both_ends(
    given: tuple[dict[str, Dim], dict[str, int]], elements: int
) -> None:
    dims, example = given
    tried, told = sizes_to_try(dims, example, elements=elements)
    assert tried[0] == example
    assert len({tuple(sorted(sizes.items())) for sizes in tried}) == len(tried)
    for sizes in tried:
        assert all(d.low <= sizes[n] <= (d.high or sizes[n]) for n, d in dims.items())
    for name, dim in dims.items():
        reached = {sizes[name] for sizes in tried}
        wanted = {1, example[name] + 1, dim.low, dim.high or dim.low}
        allowed = {s for s in wanted if s >= dim.low and (dim.high is None or s <= dim.high)}
        # What is missing is missing because it is too large, and that is told.
        assert allowed <= reached or any(note.startswith(f"{name} was verified") for note in told)
        assert max(reached) >= min(17, dim.high or 17)


def test_sizes_are_cut_down_and_told_where_they_would_be_too_large() -> None:
    tried, told = sizes_to_try({"n": Dim("n", 1, 10**9)}, {"n": 2}, elements=2000)
    room = max(sizes["n"] for sizes in tried)
    assert room * 1000 <= 4 << 20
    assert len(told) == 1
    assert told[0].startswith(f"n was verified up to {room} and not at 1000000000")


def test_nothing_is_told_where_nothing_is_cut() -> None:
    assert sizes_to_try({"n": Dim("n", 1, 64)}, {"n": 2}, elements=2)[1] == []
    assert sizes_to_try({"n": Dim("n")}, {"n": 2}, elements=2)[1] == []


def test_dimensions_also_change_together() -> None:
    tried, _ = sizes_to_try({"n": Dim("n"), "t": Dim("t")}, {"n": 2, "t": 5}, elements=10)
    assert {"n": 1, "t": 1} in tried
    assert {"n": 17, "t": 17} in tried


def test_a_fixed_model_has_one_combination() -> None:
    assert sizes_to_try({}, {}, elements=10) == ([{}], [])
    assert in_words({}) == "the example's sizes"
    assert in_words({"n": 1, "t": 4}) == "n=1, t=4"


@st.composite
def inputs(draw: st.DrawFn) -> tuple[TensorSpec, Any]:
    """An input of any element type, with a range or without, and values that lie in it."""
    name = draw(st.sampled_from([*INTEGERS, "float16", "float32", "float64"]))
    dtype = np.dtype(name)
    elements = (
        arrays.from_dtype(dtype)
        if dtype.kind in "iu"
        else arrays.from_dtype(dtype, allow_nan=False, allow_infinity=False)
    )
    array = draw(arrays.arrays(dtype, st.integers(1, 6), elements=elements))
    lowest, highest = float(array.min()), float(array.max())
    values = draw(st.none() | st.just((lowest, highest)))
    return TensorSpec("x", dtype_named(name), array.shape, values), array


@settings(max_examples=200)
@given(inputs(), st.integers(0, 10))
def test_drawn_values_stay_in_range_and_in_type(given: tuple[TensorSpec, Any], seed: int) -> None:
    spec, array = given
    values = drawn(Signature((spec,), ()), {"x": array}, seed=seed)["x"]
    assert values.dtype == array.dtype
    assert values.shape == array.shape
    lowest, highest = spec.values or (float(array.min()), float(array.max()))
    assert lowest <= float(values.min())
    assert float(values.max()) <= highest


@pytest.mark.parametrize("name", INTEGERS)
def test_whole_numbers_reach_both_ends_of_a_range_and_no_further(name: Any) -> None:
    spec = TensorSpec("ids", name, (500,), (0.5, 3.5))
    values = drawn(Signature((spec,), ()), {"ids": np.full(500, 2, name)}, seed=0)["ids"]
    assert set(values.tolist()) == {1, 2, 3}


def test_a_range_that_a_type_rounds_out_of_is_kept() -> None:
    # Of float16's numbers 0.099915 alone lies in it; what is over 0.099945 is rounded to 0.099976.
    spec = TensorSpec("x", "float16", (300,), (0.0999, 0.09995))
    inside = np.full(300, 0.099915, np.float16)
    values = drawn(Signature((spec,), ()), {"x": inside}, seed=0)["x"]
    np.testing.assert_array_equal(values, inside)


def test_drawn_values_differ_by_seed_alone_and_booleans_take_both() -> None:
    spec = TensorSpec("mask", "bool", (64,))
    signature, feed = Signature((spec,), ()), {"mask": np.zeros(64, bool)}
    first = drawn(signature, feed, seed=1)["mask"]
    assert first.dtype == np.bool_
    assert set(first.tolist()) == {True, False}
    assert np.array_equal(first, drawn(signature, feed, seed=1)["mask"])
    assert not np.array_equal(first, drawn(signature, feed, seed=2)["mask"])


def test_inputs_without_a_finite_value_or_without_any_are_drawn_too() -> None:
    specs = (TensorSpec("x", "float32", (3,)), TensorSpec("none", "float32", (0, 2)))
    feed = {"x": np.full(3, np.nan, np.float32), "none": np.zeros((0, 2), np.float32)}
    values = drawn(Signature(specs, ()), feed, seed=0)
    assert np.isfinite(values["x"]).all()
    assert values["none"].shape == (0, 2)


def test_inputs_of_one_dimension_are_resized_together() -> None:
    n = Dim("n")
    specs = (TensorSpec("x", "float32", (n, 2)), TensorSpec("mask", "bool", (n,)))
    feed = {"x": np.arange(4, dtype=np.float32).reshape(2, 2), "mask": np.array([True, False])}
    resized = resize(Signature(specs, ()), feed, {"n": 5})
    assert resized["x"].tolist() == [[0, 1], [2, 3], [0, 1], [2, 3], [0, 1]]
    assert resized["mask"].tolist() == [True, False, True, False, True]


@pytest.mark.parametrize(("example", "other"), [(64, 63), (63, 64), (1, 2)])
def test_a_size_beside_the_example_s_is_tried_at_either_end(example: int, other: int) -> None:
    tried, _ = sizes_to_try({"n": Dim("n", 1, 64)}, {"n": example}, elements=example)
    assert {"n": other} in tried
