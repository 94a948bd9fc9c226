"""Which nodes stay in float32 for the values they meet, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

from edgekit.quantize.elements import read_typed  # noqa: E402
from edgekit.quantize.floats.limits import kept_for_their_values, largest_of  # noqa: E402
from edgekit.quantize.floats.ranges import measure_ranges  # noqa: E402

Kept = Callable[..., dict[str, str]]


@pytest.fixture
def kept(save: Callable[..., Path], tmp_path: Path) -> Kept:
    """Measure a graph on one feed, and say which of its nodes must stay in float32."""

    def find(text: str, feed: dict[str, Any], **given: Any) -> dict[str, str]:
        model = save(text, **given)
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        ranges = measure_ranges(model, [feed], scratch=scratch, wall_s=60)
        return kept_for_their_values(read_typed(model), ranges)

    return find


ONE = "(float[n,2] x) => (float[n,2] y) "


def row(*numbers: float) -> dict[str, Any]:
    return {"x": np.array([numbers], np.float32)}


@pytest.mark.parametrize(
    ("largest", "said"),
    [
        (100.0, None),
        (32000.0, None),
        (33000.0, "too near to the end of fp16's range at 65504"),
        (70000.0, "past the end of fp16's range at 65504"),
    ],
)
def test_values_may_go_half_the_way_to_the_end(
    largest: float, said: str | None, kept: Kept
) -> None:
    found = kept(
        ONE + "{ h = Add(x, w) y = Tanh(h) }", row(0, 1), weights={"w": np.float32(largest - 1)}
    )
    if said is None:
        assert found == {}
    else:
        assert found.keys() == {"Add:h", "Tanh:y"}
        assert said in found["Tanh:y"]


def test_a_weight_past_the_end_keeps_its_node(kept: Kept) -> None:
    found = kept(ONE + "{ h = Min(x, w) y = Tanh(h) }", row(0, 1), weights={"w": np.float32(1e5)})
    assert found == {"Min:h": "w reaches 1e+05, past the end of fp16's range at 65504"}


def test_a_bound_past_the_end_cuts_off_nothing(kept: Kept) -> None:
    ends = {"a": np.float32(-3.4e38), "b": np.float32(3.4e38)}
    assert kept(ONE + "{ y = Clip(x, a, b) }", row(0, 1), weights=ends) == {}


def test_what_is_too_small_keeps_its_node(kept: Kept) -> None:
    found = kept(ONE + "{ h = Add(x, e) y = Tanh(h) }", row(0, 1), weights={"e": np.float32(1e-12)})
    assert found == {"Add:h": "e is at most 1e-12, which fp16 tells from 0 only roughly"}


def test_an_epsilon_that_fp16_holds_to_a_part_in_a_hundred_needs_nothing(kept: Kept) -> None:
    weights = {"e": np.float32(1e-5)}
    assert kept(ONE + "{ h = Add(x, e) y = Tanh(h) }", row(0, 1), weights=weights) == {}


def test_a_mask_of_float32s_lowest_number_keeps_nothing(kept: Kept) -> None:
    mask = np.array([np.finfo(np.float32).min, 0], np.float32)
    text = ONE + "{ h = Mul(x, s) k = Add(h, m) y = Softmax(k) }"
    assert kept(text, row(3, 1), weights={"m": mask, "s": np.float32(2)}) == {}


def test_a_score_past_the_end_keeps_its_softmax(kept: Kept) -> None:
    text = ONE + "{ h = Mul(x, s) y = Softmax(h) }"
    found = kept(text, row(3, 1), weights={"s": np.float32(3e4)})
    assert found.keys() == {"Mul:h", "Softmax:y"}


def test_a_lowest_number_that_comes_out_keeps_its_node(kept: Kept) -> None:
    mask = np.array([np.finfo(np.float32).min, 0], np.float32)
    assert kept(ONE + "{ y = Add(x, m) }", row(3, 1), weights={"m": mask}).keys() == {"Add:y"}


def test_sums_past_the_end_keep_their_node(kept: Kept) -> None:
    # Each product is 4e4, and they add up to 0.
    weights = {"w": np.array([[200, 200], [-200, -200]], np.float32)}
    found = kept(ONE + "{ y = MatMul(x, w) }", row(200, 200), weights=weights)
    assert found == {"MatMul:y": "its sums may reach 8e+04, past the end of fp16's range at 65504"}


@pytest.mark.parametrize(
    ("operator", "gates", "state"), [("LSTM", 4, "h, c"), ("GRU", 3, "h"), ("RNN", 1, "h")]
)
def test_sums_at_a_gate_past_the_end_keep_a_recurrent_node(
    operator: str, gates: int, state: str, kept: Kept
) -> None:
    text = (
        "(float[t,1,2] x) => (float[t,1,1,3] y) "
        f"{{ y, {state} = {operator}<hidden_size=3>(x, w, r, b) }}"
    )
    weights = {
        "w": np.full((1, 3 * gates, 2), 100, np.float32),
        "r": np.full((1, 3 * gates, 3), 1, np.float32),
        "b": np.full((1, 6 * gates), 1, np.float32),
    }
    feed = {"x": np.full((2, 1, 2), 10, np.float32)}
    assert kept(text, feed, weights=weights) == {}
    feed = {"x": np.full((2, 1, 2), 400, np.float32)}
    found = kept(text, feed, weights=weights)
    assert "its sums may reach 8e+04" in found[f"{operator}:y"]


def test_a_running_sum_stays(kept: Kept) -> None:
    found = kept(ONE + "{ y = CumSum(x, a) }", row(1, 1), weights={"a": np.array(1)})
    assert "stands still" in found["CumSum:y"]


def test_the_largest_finite_number_is_found() -> None:
    assert largest_of(np.array([1, -3, np.inf, np.nan], np.float32)) == 3
    assert largest_of(np.array([], np.float32)) == 0
    assert largest_of(np.array([np.nan], np.float32)) == 0
