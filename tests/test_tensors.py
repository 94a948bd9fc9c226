"""Named arrays: sizes read off a feed, and feeds made larger and smaller."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import BadValue
from edgekit.tensors import (
    Array,
    Dim,
    Signature,
    TensorSpec,
    dim_sizes,
    dtype_named,
    dynamic_dims,
    numpy_dtype,
    plain,
    random_outputs,
    resize,
)
from edgekit.terms import DType, members

BATCH, TIME = Dim("batch", 1, 64), Dim("time", 0)
SIGNATURE = Signature(
    (
        TensorSpec("ids", "int64", (BATCH, TIME)),
        TensorSpec("mask", "float32", (BATCH, TIME, TIME)),
        TensorSpec("scale", "float32", ()),
        TensorSpec("fixed", "float32", (2, 3)),
    ),
    (TensorSpec("y", "float32", (BATCH, Dim("2*time"))),),
)


def feed(batch: int, time: int) -> dict[str, Array]:
    return {
        "ids": np.arange(batch * time, dtype=np.int64).reshape(batch, time),
        "mask": np.arange(batch * time * time, dtype=np.float32).reshape(batch, time, time),
        "scale": np.array(2.5, np.float32),
        "fixed": np.ones((2, 3), np.float32),
    }


def test_dynamic_dims_are_the_inputs_in_order_of_first_use() -> None:
    assert dynamic_dims(SIGNATURE) == {"batch": BATCH, "time": TIME}
    assert list(dynamic_dims(SIGNATURE)) == ["batch", "time"]
    assert dynamic_dims(Signature((), SIGNATURE.outputs)) == {}


@given(st.integers(1, 6), st.integers(0, 6))
def test_dim_sizes_are_read_off_the_feed(batch: int, time: int) -> None:
    assert dim_sizes(SIGNATURE, feed(batch, time)) == {"batch": batch, "time": time}


@given(st.data())
def test_resize_repeats_and_crops_the_values(data: st.DataObject) -> None:
    had = {"batch": data.draw(st.integers(1, 5)), "time": data.draw(st.integers(1, 5))}
    asked = data.draw(
        st.fixed_dictionaries(
            {}, optional={"batch": st.integers(1, 64), "time": st.integers(0, 12)}
        )
    )
    example = feed(**had)
    resized = resize(SIGNATURE, example, asked)
    assert list(resized) == list(example)
    assert dim_sizes(SIGNATURE, resized) == {**had, **asked}
    for spec in SIGNATURE.inputs:
        array = resized[spec.name]
        assert array.dtype == example[spec.name].dtype
        assert array.flags.c_contiguous
        assert array.ndim == len(spec.shape)
        for index in np.ndindex(*array.shape):
            # Every value is one of the example's, at the place modulo the example's sizes.
            source = tuple(i % n for i, n in zip(index, example[spec.name].shape, strict=True))
            assert array[index] == example[spec.name][source]


def test_resize_without_sizes_keeps_the_feed() -> None:
    example = feed(2, 3)
    for name, array in resize(SIGNATURE, example, {}).items():
        np.testing.assert_array_equal(array, example[name], strict=True)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"height": 3}, "height=3: expected one of the dynamic dimensions: batch, time"),
        ({"batch": 0}, "the dimension batch cannot be 0: expected batch:1..64"),
        ({"batch": 65}, "expected batch:1..64"),
        ({"time": -1}, r"expected time:0..\."),
        ({"time": 4}, "expected 0, because the example of ids is empty along it"),
    ],
)
def test_resize_refuses_a_size_that_cannot_be(sizes: dict[str, int], said: str) -> None:
    with pytest.raises(BadValue, match=said):
        resize(SIGNATURE, feed(2, 0), sizes)


def test_resize_names_no_dimension_where_there_is_none() -> None:
    with pytest.raises(BadValue, match="there are none"):
        resize(Signature((), ()), {}, {"batch": 1})


@pytest.mark.parametrize("name", members(DType))
def test_every_element_type_has_a_numpy_dtype(name: str) -> None:
    if name == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="bfloat16 comes with ml_dtypes")
    assert dtype_named(name) == name
    assert numpy_dtype(name).name == name


@pytest.mark.parametrize("name", ["object", "str32", "complex64", "datetime64[s]", "float8"])
def test_other_element_types_are_refused(name: str) -> None:
    for function in (dtype_named, numpy_dtype):
        with pytest.raises(BadValue, match="an element type cannot be"):
            function(name)


def test_plain_keeps_values_and_rank() -> None:
    array = np.arange(6, dtype=">f8").reshape(2, 3).T
    assert plain(array).dtype.isnative
    assert plain(array).flags.c_contiguous
    np.testing.assert_array_equal(plain(array), array)
    assert plain(np.array(1.0)).shape == ()
    assert plain(np.zeros((0, 2))).shape == (0, 2)


def test_specs_and_dims_are_written_shortly() -> None:
    assert str(SIGNATURE.inputs[0]) == "ids: int64 [batch, time]"
    assert str(SIGNATURE.inputs[2]) == "scale: float32 []"
    assert (str(BATCH), str(TIME)) == ("batch:1..64", "time:0..")


def test_random_outputs_are_named() -> None:
    noise = TensorSpec("noise", "float32", (BATCH,), random=True)
    signature = Signature(SIGNATURE.inputs, (*SIGNATURE.outputs, noise))
    assert random_outputs(signature) == {"noise"}
    assert random_outputs(SIGNATURE) == set()


def test_a_misspelt_field_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="hihg"):
        msgspec.convert({"name": "batch", "hihg": 8}, Dim)
