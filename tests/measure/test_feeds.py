from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import BadValue
from edgekit.measure.feeds import batch_dim, fixed_batch, made_up, timing_feed
from edgekit.tensors import Dim, Signature, TensorSpec
from edgekit.terms import DType, members


def signature(*shapes: Any, outputs: Any = ((1,),)) -> Signature:
    return Signature(
        tuple(TensorSpec(f"x{i}", "float32", shape) for i, shape in enumerate(shapes)),
        tuple(TensorSpec(f"y{i}", "float32", shape) for i, shape in enumerate(outputs)),
    )


def test_batch_is_the_dimension_of_that_name_wherever_it_stands() -> None:
    assert batch_dim(signature((Dim("time"), Dim("batch"), 4))) == "batch"


def test_batch_is_else_the_leading_dimension_of_the_first_input() -> None:
    assert batch_dim(signature((Dim("rows"), 4), (Dim("other"),))) == "rows"


@pytest.mark.parametrize("shape", [(4, Dim("time")), (), (4,)])
def test_a_fixed_leading_axis_is_no_batch_dimension(shape: Any) -> None:
    assert batch_dim(signature(shape)) is None


@pytest.mark.parametrize(
    ("shapes", "outputs", "rows"),
    [
        ([(8, 3, 4)], [(8, 10)], 8),
        ([(8, 3, 4), (8, 2)], [(8, 10), (8,)], 8),
        ([(3, 224, 224)], [(10,)], 1),  # an image without a batch
        ([(8, 3)], [()], 1),
        ([(8, 3)], [(Dim("found"), 4)], 1),
    ],
)
def test_rows_of_a_fixed_batch_are_the_leading_size_that_all_share(
    shapes: Any, outputs: Any, rows: int
) -> None:
    assert fixed_batch(signature(*shapes, outputs=outputs)) == rows


def test_timing_feed_has_the_asked_batch_and_the_examples_other_sizes() -> None:
    takes = signature((Dim("batch", 1, 64), Dim("time"), 2))
    example = {"x0": np.arange(12, dtype=np.float32).reshape(2, 3, 2)}
    feed, sizes, rows = timing_feed(takes, example, batch=5)
    assert (feed["x0"].shape, sizes, rows) == ((5, 3, 2), {"batch": 5, "time": 3}, 5)
    assert np.array_equal(feed["x0"][4], example["x0"][0])


@pytest.mark.parametrize(("low", "rows"), [(0, 1), (1, 1), (4, 4)])
def test_batch_is_by_default_the_fewest_rows_that_the_model_takes(low: int, rows: int) -> None:
    example = {"x0": np.zeros((6, 4), np.float32)}
    feed, sizes, found = timing_feed(signature((Dim("batch", low, 8), 4)), example, batch=None)
    assert (feed["x0"].shape[0], sizes, found) == (rows, {"batch": rows}, rows)


def test_rows_are_the_batch_although_another_dimension_comes_first() -> None:
    takes = signature((Dim("time"), Dim("batch")))
    _, sizes, rows = timing_feed(takes, {"x0": np.zeros((7, 2), np.float32)}, batch=3)
    assert sizes == {"time": 7, "batch": 3}
    assert rows == 3


def test_rows_of_a_fixed_batch_are_counted_with_another_dimension_dynamic() -> None:
    takes = signature((2, Dim("time")), outputs=[(2, 5)])
    feed, sizes, rows = timing_feed(takes, {"x0": np.zeros((2, 7), np.float32)}, batch=None)
    assert (feed["x0"].shape, sizes, rows) == ((2, 7), {"time": 7}, 2)


@pytest.mark.parametrize("batch", [3, 9])
def test_a_batch_that_the_model_does_not_take_is_refused(batch: int) -> None:
    example = {"x0": np.zeros((4, 4), np.float32)}
    with pytest.raises(BadValue, match=r"4\.\.8"):
        timing_feed(signature((Dim("batch", 4, 8), 4)), example, batch=batch)


def test_a_fixed_batch_can_be_asked_for_and_no_other() -> None:
    takes, example = signature((4, 2), outputs=[(4, 2)]), {"x0": np.zeros((4, 2), np.float32)}
    assert timing_feed(takes, example, batch=4)[2] == 4
    with pytest.raises(BadValue, match="expected 4: the model was made with a fixed batch"):
        timing_feed(takes, example, batch=2)


@given(
    dtype=st.sampled_from([d for d in members(DType) if d != "bfloat16"]),
    low=st.integers(0, 5),
    seed=st.integers(0, 9),
)
def test_made_up_values_have_the_type_and_shape_that_is_asked(
    dtype: DType, low: int, seed: int
) -> None:
    takes = Signature((TensorSpec("x", dtype, (Dim("batch", low), 3, Dim("time"))),), ())
    array = made_up(takes, sizes={"time": 4}, seed=seed)["x"]
    assert array.dtype == np.dtype(dtype)
    assert array.shape == (max(low, 1), 3, 4)
    assert array.min() >= 0
    assert array.max() <= 1
    assert np.array_equal(array, made_up(takes, sizes={"time": 4}, seed=seed)["x"])


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_made_up_values_lie_in_the_range_that_the_signature_gives(dtype: DType) -> None:
    takes = Signature((TensorSpec("x", dtype, (500,), values=(-3, 12)),), ())
    array = made_up(takes)["x"]
    assert -3 <= array.min() < -1
    assert 10 < array.max() <= 12


def test_made_up_values_differ_from_seed_to_seed() -> None:
    takes = signature((9,))
    assert not np.array_equal(made_up(takes, seed=0)["x0"], made_up(takes, seed=1)["x0"])
