from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.data import synthetic
from edgekit.data.made_up import made_up
from edgekit.package.cases import content_sha256, content_sha256_of_all
from edgekit.runtime.inputs import check_shapes, conform
from edgekit.tensors import Dim, Signature, TensorSpec, dim_sizes
from edgekit.terms import DType, members

TAKES = Signature(
    (
        TensorSpec("sound", "float32", (Dim("batch", 1, 8), Dim("time", 3), 2), values=(-1, 1)),
        TensorSpec("ids", "int64", (Dim("batch", 1, 8), Dim("length", 2, 5)), values=(0, 40)),
    ),
    (),
)


def signature(*shapes: Any, outputs: Any = ((1,),)) -> Signature:
    return Signature(
        tuple(TensorSpec(f"x{i}", "float32", shape) for i, shape in enumerate(shapes)),
        tuple(TensorSpec(f"y{i}", "float32", shape) for i, shape in enumerate(outputs)),
    )


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


def test_synthetic_data_say_so_and_are_the_same_for_a_seed() -> None:
    data = synthetic(TAKES, cases=5, seed=3)
    assert (data.name, data.split, data.synthetic, data.cases) == (
        "made-up cases",
        "train",
        True,
        5,
    )
    first, again = list(data.open()), list(synthetic(TAKES, cases=5, seed=3).open())
    assert content_sha256_of_all(first) == content_sha256_of_all(again) == data.sha256
    others = [*synthetic(TAKES, cases=5, seed=4).open(), *synthetic(TAKES, cases=5, seed=0).open()]
    assert len({content_sha256(case.feed) for case in (*first, *others)}) == 15


def test_synthetic_sizes_vary_within_their_ranges_and_the_batch_is_one_row() -> None:
    cases = list(synthetic(TAKES, cases=40, split="test").open())
    for case in cases:
        check_shapes(TAKES, conform(TAKES, case.feed))
    sizes = [dim_sizes(TAKES, case.feed) for case in cases]
    assert {one["batch"] for one in sizes} == {1}
    assert {one["length"] for one in sizes} == {2, 3, 4, 5}
    assert len({one["time"] for one in sizes}) > 10
    assert max(case.feed["ids"].max() for case in cases) > 20


def test_synthetic_sizes_are_those_of_feeds_that_are_known_to_run() -> None:
    like = [made_up(TAKES, sizes={"batch": b, "time": 9, "length": b + 1}) for b in (2, 4)]
    cases = list(synthetic(TAKES, cases=4, like=like).open())
    assert [dim_sizes(TAKES, case.feed)["batch"] for case in cases] == [2, 4, 2, 4]
    assert {dim_sizes(TAKES, case.feed)["time"] for case in cases} == {9}
    assert len({content_sha256(case.feed) for case in cases}) == 4
