"""Variants that are fixed to sizes: their signature, and the cases that fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.fixed_sizes import fit, fitting, fitting_dataset, fixed, in_words
from edgekit.tensors import Case, Dataset, Dim, Signature, TensorSpec

BATCH, TIME = Dim("batch", 1, 9), Dim("time", 1, None)
SIGNATURE = Signature(
    (TensorSpec("x", "float32", (BATCH, TIME, 2)), TensorSpec("scale", "float32", (2,))),
    (TensorSpec("y", "float32", (TIME, BATCH)),),
)


def case(rows: int, steps: int, label: int | None = None) -> Case:
    x = np.arange(rows * steps * 2, dtype=np.float32).reshape(rows, steps, 2)
    return Case({"x": x, "scale": np.ones(2, np.float32)}, {"y": x.sum(axis=2).T}, label)


def test_a_signature_shows_its_fixed_sizes() -> None:
    found = fixed(SIGNATURE, {"batch": 3})
    assert found.inputs[0].shape == (3, TIME, 2)
    assert found.outputs[0].shape == (TIME, 3)
    assert fixed(SIGNATURE, {}) is SIGNATURE
    assert in_words({"batch": 3, "time": 4}) == "batch=3, time=4"


def test_a_case_fits_or_does_not() -> None:
    assert fit(SIGNATURE, case(2, 4).feed, {"time": 4})
    assert not fit(SIGNATURE, case(2, 4).feed, {"time": 4, "batch": 3})


def test_another_size_than_the_batch_is_left_out() -> None:
    assert list(fitting([case(2, 4), case(2, 5)], SIGNATURE, {"time": 9})) == []


def test_a_label_stays_with_a_row_of_its_own() -> None:
    kept = list(fitting([case(1, 4, label=7)], SIGNATURE, {"batch": 1}))
    assert [one.label for one in kept] == [7]
    filled = list(fitting([case(1, 4, label=7)], SIGNATURE, {"batch": 2}))
    assert [one.label for one in filled] == [None]


@given(rows=st.integers(1, 9), asked=st.integers(1, 9))
def test_answers_are_cut_along_with_their_rows(rows: int, asked: int) -> None:
    whole = case(rows, 3)
    portions = list(fitting([whole], SIGNATURE, {"batch": asked, "time": 3}))
    assert len(portions) == -(-rows // asked)
    seen = []
    for portion in portions:
        assert portion.feed["x"].shape == (asked, 3, 2)
        np.testing.assert_array_equal(portion.feed["scale"], whole.feed["scale"])
        assert portion.outputs is not None
        np.testing.assert_array_equal(portion.outputs["y"], portion.feed["x"].sum(axis=2).T)
        seen += portion.feed["x"][:, 0, 0].tolist()
    assert set(seen) == set(whole.feed["x"][:, 0, 0].tolist())


@pytest.mark.parametrize(("sizes", "cases"), [({}, 2), ({"batch": 2}, 3), ({"time": 9}, 0)])
def test_a_dataset_counts_what_fits(sizes: dict[str, int], cases: int) -> None:
    whole = Dataset("steps", "test", "0" * 64, 2, lambda: iter([case(2, 4), case(3, 4)]))
    found = fitting_dataset(whole, SIGNATURE, sizes)
    assert found.cases == cases
    assert len(list(found.open())) == cases
