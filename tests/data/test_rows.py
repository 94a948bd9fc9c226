from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.data import row_hashes
from edgekit.data.rows import HASH_DIGITS, batch_dim, fixed_batch, one_row_axis, row_axes
from edgekit.errors import InputError
from edgekit.package.cases import content_sha256
from edgekit.tensors import Array, Dim, Signature, TensorSpec

BATCH, TIME = Dim("batch", 1, 64), Dim("time", 1, 64)


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


@pytest.mark.parametrize(
    ("shapes", "outputs", "axes"),
    [
        ([(BATCH, 4)], [(BATCH, 2)], {"x0": 0}),
        ([(TIME, BATCH, 4), (BATCH,), (3,)], [(TIME, 2)], {"x0": 1, "x1": 0}),
        ([(Dim("N"), 4)], [(Dim("unknown"), 2)], {"x0": 0}),
        ([(Dim("N"), 4), (Dim("N"), 2)], [(Dim("N"), 2)], {"x0": 0, "x1": 0}),
        # One recording, of which several may hold the same step.
        ([(TIME, 4)], [(TIME, 2)], {}),
        ([(Dim("seq_len"), 4)], [(Dim("seq_len"), 2)], {}),
        ([(Dim("N"), 4)], [(2,)], {}),
        ([(Dim("N"),)], [(Dim("N"),)], {}),
        # Fixed sizes: a batch only where everything that goes in and out has as many rows.
        ([(8, 4)], [(8, 2)], {"x0": 0}),
        ([(1, 4)], [(1, 2)], {}),
        ([(3, 28, 28)], [(10,)], {}),
        ([(8,)], [(8,)], {}),
        ([(8, 4)], [], {}),
        ([], [(3,)], {}),
    ],
)
def test_rows_lie_along_the_batch_axis_and_along_no_other(
    shapes: Any, outputs: Any, axes: dict[str, int]
) -> None:
    assert row_axes(signature(*shapes, outputs=outputs)) == axes


def test_the_axis_of_one_row_is_that_of_the_batch_or_one_fixed_to_1() -> None:
    takes = signature((TIME, BATCH, 4), (1, 3), (3, 4), ())
    axes = [one_row_axis(spec, takes) for spec in takes.inputs]
    assert axes == [1, 0, None, None]


@given(rows=st.integers(1, 6), pick=st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_a_row_has_one_hash_in_a_batch_of_any_size(rows: int, pick: list[int]) -> None:
    takes = signature((TIME, BATCH, 2), (BATCH, 3), (5,))
    generator = np.random.default_rng(rows)
    feed = {
        "x0": generator.random((4, rows, 2), np.float32),
        "x1": generator.random((rows, 3), np.float32),
        "x2": generator.random(5, np.float32),
    }
    hashes = row_hashes(feed, takes)
    assert len(hashes) == rows
    assert all(len(row) == HASH_DIGITS and int(row, 16) >= 0 for row in hashes)
    chosen = [index % rows for index in pick]
    other = {"x0": feed["x0"][:, chosen], "x1": feed["x1"][chosen], "x2": feed["x2"]}
    assert row_hashes(other, takes) == tuple(hashes[index] for index in chosen)


@given(st.integers(0, 2), st.integers(0, 2))
def test_rows_that_differ_in_anything_have_other_hashes(row: int, place: int) -> None:
    takes = signature((BATCH, 3), (BATCH,), (2,))
    feed: dict[str, Array] = {
        "x0": np.zeros((3, 3), np.float32),
        "x1": np.zeros(3, np.float32),
        "x2": np.ones(2),
    }
    before = row_hashes(feed, takes)
    assert len(set(before)) == 1
    changed = {**feed, "x0": feed["x0"].copy()}
    changed["x0"][row, place] = 1e-30
    after = row_hashes(changed, takes)
    assert [one == other for one, other in zip(before, after, strict=True)] == [
        index != row for index in range(3)
    ]
    assert not set(row_hashes({**feed, "x2": np.zeros(2)}, takes)) & set(before)


def test_a_type_a_name_and_a_shape_count() -> None:
    zeros = {"x0": np.zeros((1, 4), np.float32)}
    takes = signature((BATCH, 4))
    found = {
        row_hashes(zeros, takes),
        row_hashes({"x0": np.zeros((1, 4), np.int32)}, takes),
        row_hashes({"x0": np.zeros((1, 2, 2), np.float32)}, takes),
        row_hashes({"x1": zeros["x0"]}, signature((3,), (BATCH, 4))),
    }
    assert len(found) == 4


def test_a_case_without_a_batch_is_one_row_with_the_hash_of_all_of_it() -> None:
    feed = {"x0": np.ones((3, 4), np.float32)}
    assert row_hashes(feed, signature((3, 4))) == (content_sha256(feed)[:HASH_DIGITS],)


def test_rows_that_do_not_go_together_are_an_error() -> None:
    feed = {"x0": np.zeros((2, 4)), "x1": np.zeros((3, 4))}
    with pytest.raises(InputError, match="different numbers of rows: 2 of x0, 3 of x1"):
        row_hashes(feed, signature((BATCH, 4), (BATCH, 4)))
