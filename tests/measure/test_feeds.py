from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit.errors import BadValue
from edgekit.measure.feeds import timing_feed
from edgekit.tensors import Dim, Signature, TensorSpec


def signature(*shapes: Any, outputs: Any = ((1,),)) -> Signature:
    return Signature(
        tuple(TensorSpec(f"x{i}", "float32", shape) for i, shape in enumerate(shapes)),
        tuple(TensorSpec(f"y{i}", "float32", shape) for i, shape in enumerate(outputs)),
    )


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
