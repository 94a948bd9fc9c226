from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekit.data.checking import Given, classes_of, fitting, fitting_feed, whole_number
from edgekit.errors import InputError
from edgekit.tensors import Dim, Signature, TensorSpec
from edgekit.terms import DType

BATCH = Dim("batch", 1, 8)
SCORES = (TensorSpec("scores", "float32", (BATCH, 5)),)
IMAGE = Signature((TensorSpec("image", "float32", (BATCH, 3, 4), values=(0, 1)),), SCORES)


def takes(dtype: DType, *shape: Any, **given: Any) -> Signature:
    return Signature((TensorSpec("x", dtype, shape, **given),), SCORES)


def fitted(value: Any, signature: Signature) -> Any:
    return fitting_feed({"x": value}, signature)["x"]


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (np.array([0.1, 2.5]), "float32"),
        (np.array([0.1, 2.5], np.float16), "float32"),
        (np.array([0.1, 2.5], np.float32), "float64"),
        (np.array([0.1, 2.5], ">f8"), "float32"),
        (np.array([1, 300], np.int32), "int64"),
        (np.array([1, 300]), "int32"),
        (np.array([1, 200]), "uint8"),
        (np.array([1, 200], np.uint8), "int64"),
        (np.array([-3, 7]), "int8"),
        ([1, 2], "int64"),
        ([0.5, 2.0], "float32"),
        (torch.tensor([0.5, 2.0], dtype=torch.float64), "float32"),
        (torch.tensor([1, 2], dtype=torch.int32), "int64"),
    ],
)
def test_a_cast_that_loses_nothing_is_done(found: Any, wanted: DType) -> None:
    array = fitted(found, takes(wanted, 2))
    assert array.dtype == np.dtype(wanted)
    assert np.allclose(array, np.asarray(found).astype(wanted))


@pytest.mark.parametrize(
    ("found", "wanted", "sentence"),
    [
        (np.array([0.5, 2.0]), "int64", r"dtype float64 and the model takes int64.*\.astype"),
        (np.array([1, 2]), "float32", "dtype int64 and the model takes float32"),
        (np.array([1, 2], np.uint8), "float32", "dtype uint8 and the model takes float32"),
        (np.array([0.5, 2.0]), "float16", "dtype float64 and the model takes float16"),
        (np.array([1, 300]), "uint8", "whole numbers from 1 to 300, which don't fit into uint8"),
        (np.array([-1, 3]), "uint64", "whole numbers from -1 to 3, which don't fit into uint64"),
        (np.array([2**40, 1]), "int32", "don't fit into int32"),
        (np.array([1e39, 0.0]), "float32", "too large for float32"),
        (np.array([True, False]), "int64", "dtype bool and the model takes int64"),
        (np.array(["a", "b"]), "int64", "dtype str"),
        (np.array([[1], 2], dtype=object), "int64", "holds Python objects and no numbers"),
        ([[1, 2], [3]], "int64", "is not an array"),
        (np.ma.masked_array([1.0, 2.0], [True, False], np.float32), "float32", "masked elements"),
    ],
)
def test_a_cast_that_loses_something_is_refused(found: Any, wanted: DType, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        fitted(found, takes(wanted, 2))


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4))
def test_integers_are_cast_exactly_or_not_at_all(values: list[int]) -> None:
    signature = takes("int16", len(values))
    fits = all(-(2**15) <= value < 2**15 for value in values)
    if fits:
        assert fitted(np.array(values), signature).tolist() == values
    else:
        with pytest.raises(InputError, match="don't fit into int16"):
            fitted(np.array(values), signature)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "The input 'image' is missing; expected: image: float32"),
        ({"picture": 1}, "There is no input 'picture'; expected: image"),
        ({"image": np.zeros((1, 3, 4)), "more": 1}, "There is no input 'more'"),
        ({"image": np.zeros((1, 3, 5))}, "Axis 2 of image has size 5 and the model takes 4"),
        ({"image": np.zeros((9, 3, 4))}, r"Axis 0 of image has size 9 and the model takes batch"),
        ({"image": np.zeros((0, 3, 4))}, "Axis 0 of image has size 0"),
        ({"image": np.zeros(4)}, r"image has 1 dimensions \[4\] and the model takes 3"),
        ({"image": np.full((1, 3, 4), np.nan)}, "image is NaN or infinite in 12 of 12 elements"),
        ({"image": np.full((3, 4), 255.0)}, "go from 255 to 255, and the model was made for 0 to"),
    ],
)
def test_names_shapes_and_values_are_held_against_the_model(
    given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        fitting_feed(given, IMAGE)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_element_that_is_no_number_is_found(bad: float) -> None:
    image = np.zeros((1, 3, 4), np.float32)
    image[0, 2, 1] = bad
    with pytest.raises(InputError, match="NaN or infinite in 1 of 12 elements; leave such cases"):
        fitting_feed({"image": image}, IMAGE)


def test_rounding_is_no_reason_to_be_out_of_range() -> None:
    signature = takes("float32", 2, values=(-0.1, 0.1))
    assert float(fitted(np.array([-0.1, 0.1]), signature)[1]) > 0.1
    with pytest.raises(InputError, match=r"go from -0\.1 to 0\.1001"):
        fitted(np.array([-0.1, 0.1001]), signature)


@pytest.mark.parametrize(
    ("shape", "given", "expected"),
    [
        ((BATCH, 3), (3,), (1, 3)),
        ((4, BATCH, 3), (4, 3), (4, 1, 3)),
        ((1, 3, 4), (3, 4), (1, 3, 4)),
        ((BATCH, 3), (2, 3), (2, 3)),
        ((BATCH,), (), (1,)),
    ],
)
def test_the_batch_axis_may_be_left_out(shape: Any, given: Any, expected: Any) -> None:
    assert fitted(np.zeros(given, np.float32), takes("float32", *shape)).shape == expected


def test_another_axis_may_not_be_left_out() -> None:
    with pytest.raises(InputError, match="has 1 dimensions"):
        fitted(np.zeros(3, np.float32), takes("float32", Dim("time"), 3))


def test_a_row_for_a_fixed_batch_is_told_what_to_do() -> None:
    with pytest.raises(InputError, match=r"made for 2 rows a call: give 2 a case, or .*--dynamic"):
        fitted(np.zeros(3, np.float32), takes("float32", 2, 3))


@pytest.mark.parametrize(
    "label", [3, np.int64(3), np.array(3), np.array([3]), [3], torch.tensor(3)]
)
def test_a_label_is_a_whole_number_of_whatever_library(label: Any) -> None:
    (case,) = fitting(Given({"image": np.zeros((3, 4))}, label), IMAGE)
    assert case.label == 3
    assert type(case.label) is int


@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        (3.0, r"its label is 3\.0; a class is a whole number: .*index of the right class, from 0"),
        (np.float32(3), "a class is a whole number"),
        ("3", "its label is '3'"),
        (np.eye(5)[None, 2], r"an array of shape \[1, 5\]"),
        (np.eye(5)[2], "It has 5 labels and 1 row"),
        ([], "It has 0 labels and 1 row"),
        (-1, "Its label is -1 and the model has the classes 0 to 4"),
        (5, "Its label is 5 and the model has the classes 0 to 4"),
    ],
)
def test_a_label_that_names_no_class_is_refused(label: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        list(fitting(Given({"image": np.zeros((3, 4))}, label), IMAGE))


@pytest.mark.parametrize("labels", [np.array([4, 0]), [4, 0], torch.tensor([4, 0])])
def test_a_batch_with_a_label_a_row_is_as_many_cases(labels: Any) -> None:
    batch = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 24
    cases = list(fitting(Given({"image": batch}, labels), IMAGE))
    assert [case.label for case in cases] == [4, 0]
    assert np.array_equal(np.concatenate([case.feed["image"] for case in cases]), batch)


@pytest.mark.parametrize(("labels", "said"), [([1, 2, 3], "3 labels and 2 rows"), (1, "1 label")])
def test_a_batch_with_another_number_of_labels_is_refused(labels: Any, said: str) -> None:
    with pytest.raises(InputError, match=f"It has {said}"):
        list(fitting(Given({"image": np.zeros((2, 3, 4))}, labels), IMAGE))


def test_a_batch_that_takes_no_single_row_cannot_be_split_up() -> None:
    signature = Signature((TensorSpec("x", "float32", (Dim("batch", 2, 8), 3)),), SCORES)
    with pytest.raises(InputError, match="a label for each row, and the model takes no row alone"):
        list(fitting(Given({"x": np.zeros((2, 3))}, [1, 2]), signature))


def test_a_batch_without_labels_stays_one_case() -> None:
    (case,) = fitting(Given({"image": np.zeros((2, 3, 4))}), IMAGE)
    assert case.feed["image"].shape == (2, 3, 4)
    assert case.label is None


@pytest.mark.parametrize(
    ("output", "classes"),
    [
        (TensorSpec("y", "float32", (BATCH, 5)), 5),
        (TensorSpec("y", "float16", (1, 7)), 7),
        (TensorSpec("y", "float32", (BATCH, Dim("n"))), None),
        (TensorSpec("y", "float32", (BATCH, 9, 5)), None),
        (TensorSpec("y", "int64", (BATCH, 5)), None),
        (TensorSpec("y", "float32", (BATCH, 5), random=True), None),
    ],
)
def test_classes_are_counted_where_the_first_output_scores_them(
    output: TensorSpec, classes: int | None
) -> None:
    assert classes_of(Signature((), (output,))) == classes
    assert classes_of(Signature((), ())) is None


def test_whole_number_takes_what_python_can_count_with() -> None:
    assert whole_number(np.uint8(7)) == 7
    with pytest.raises(InputError, match="whole number"):
        whole_number(None)
