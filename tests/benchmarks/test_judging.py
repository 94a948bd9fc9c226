"""The judgement that the coverage table rests on: right is right, and wrong is seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="an original is a PyTorch module")

import onnx
import torch
from torch import nn

from benchmarks.judging import (
    COMBINATIONS,
    Judgement,
    Shapes,
    distance,
    feed_at,
    judge,
    unseen,
)
from edgekit.tensors import Dim
from exporters.exportable import Exportable
from exporters.original import Original

BATCH, TIME = Dim("batch", 1), Dim("time", 1, 9)
SHAPES = {"x": (BATCH, 4)}


class Doubled(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


def judged(path: Path, text: str) -> Judgement:
    """Judge an .onnx file, given as text, as the module above."""
    onnx.save(onnx.parser.parse_model('<ir_version: 10, opset_import: ["": 20]>' + text), path)
    example = torch.linspace(-1, 1, 8).reshape(2, 4)
    return judge(Original(Exportable(Doubled(), (example,))), path, SHAPES)


def test_judge_finds_the_same_answers_right_at_every_size_tried(tmp_path: Path) -> None:
    text = "g (float[batch, 4] x) => (float[batch, 4] y) { y = Add(x, x) }"
    judgement = judged(tmp_path / "m.onnx", text)
    assert judgement.problem == ""
    assert judgement.max_abs_error == 0.0
    assert len(judgement.sizes) == COMBINATIONS
    assert {"batch": 1} in judgement.sizes


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "g (float[batch, 4] x) => (float[batch, 4] y) "
            "{ f = Constant<value_float = 2.001>() y = Mul(x, f) }",
            "output at batch=1 is off by",
        ),
        (
            "g (float[batch, 4] x) => (float[batch, 8] y) { y = Concat<axis = 1>(x, x) }",
            "and the original's is float32 [1, 4]",
        ),
        ("g (float[2, 4] x) => (float[2, 4] y) { y = Add(x, x) }", "fails at batch=1"),
        (
            "g (float[batch, 4] x) => (float[batch, 4] y, float[batch, 4] z) "
            "{ y = Add(x, x) z = Neg(x) }",
            "2 outputs at batch=1, and the original has 1",
        ),
        ("g (float[batch, 4] x) => (float[batch, 4] y) { y = Neg(z) }", "does not load"),
    ],
    ids=["other numbers", "another shape", "a fixed size", "one output more", "no model"],
)
def test_judge_sees_what_is_wrong(tmp_path: Path, text: str, problem: str) -> None:
    assert problem in judged(tmp_path / "m.onnx", text).problem


@given(
    high=st.integers(1, 9),
    verified=st.lists(
        st.fixed_dictionaries({"batch": st.integers(1, 4), "time": st.integers(1, 9)}), max_size=20
    ),
)
def test_unseen_sizes_are_within_the_range_and_not_verified(
    high: int, verified: list[dict[str, int]]
) -> None:
    shapes: Shapes = {"x": (BATCH, Dim("time", 1, high)), "y": (BATCH, 3)}
    example = {"x": np.zeros((2, 1)), "y": np.zeros((2, 3))}
    chosen = unseen(shapes, example, verified)
    assert chosen
    assert len({tuple(sizes.items()) for sizes in chosen}) == len(chosen) <= COMBINATIONS
    for sizes in chosen:
        assert sizes not in verified
        assert sizes["batch"] >= 1
        assert 1 <= sizes["time"] <= high


def test_unseen_is_one_combination_without_sizes_where_nothing_is_dynamic() -> None:
    assert unseen({"x": (2, 4)}, {"x": np.zeros((2, 4))}) == [{}]


def test_feed_keeps_each_input_in_its_own_range() -> None:
    example = {
        "x": np.array([[0.0, 0.5], [1.0, 0.5]], np.float32),
        "ids": np.array([[3, 9], [5, 7]]),
        "mask": np.ones((2, 2), np.int64),
    }
    shapes = dict.fromkeys(example, (BATCH, TIME))
    feed = feed_at(example, shapes, {"batch": 3, "time": 9}, np.random.default_rng(0))
    assert {name: (a.shape, a.dtype) for name, a in feed.items()} == {
        name: ((3, 9), a.dtype) for name, a in example.items()
    }
    assert feed["x"].min() >= 0
    assert feed["x"].max() <= 1
    assert set(np.unique(feed["ids"])) <= set(range(3, 10))
    assert feed["mask"].sum(axis=1).tolist() == [9, 9, 6]


def test_distance_allows_ten_times_the_originals_own_error() -> None:
    exact = np.array([1.0, 2.0])
    wanted = np.array([1.001, 2.0], np.float32)
    for error, right in ((0.009, True), (0.011, False)):
        answer = np.array([1.0 + error, 2.0], np.float32)
        got, own, allowed = distance(wanted, exact, answer)
        assert got == pytest.approx(error, rel=1e-3)
        assert own == pytest.approx(0.001, rel=1e-3)
        assert (got <= allowed) is right


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_distance_wants_nan_and_infinity_where_the_original_has_them(value: float) -> None:
    wanted = np.array([value, 1.0], np.float32)
    assert distance(wanted, None, wanted)[0] == 0
    for other in (0.0, np.nan, np.inf, -np.inf):
        if not np.array_equal([other], [value], equal_nan=True):
            answer = np.array([other, 1.0], np.float32)
            error, _, allowed = distance(wanted, None, answer)
            assert error > allowed


def test_distance_of_whole_numbers_allows_none() -> None:
    wanted = np.array([3, 4])
    assert distance(wanted, None, wanted) == (0.0, 0.0, 0.0)
    error, _, allowed = distance(wanted, None, wanted + 1)
    assert error > allowed
