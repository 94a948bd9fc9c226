"""What is measured of a float model's values, against what numpy says of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.errors import RunFailed
from edgekit.metrics import UNBOUNDED

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

from edgekit.quantize.floats.ranges import Ranges, measure_ranges  # noqa: E402

Save = Callable[..., Path]


def measured(model: Path, *feeds: dict[str, Any], **given: Any) -> Ranges:
    scratch = model.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    found = measure_ranges(model, feeds, scratch=scratch, wall_s=60, **given)
    assert list(scratch.iterdir()) == []
    return found


def test_the_largest_of_every_value_over_all_cases_is_kept(save: Save) -> None:
    model = save(
        "(float[n,2] x) => (float[n,2] y) { h = MatMul(x, w) k = Relu(h) y = Sub(k, b) }",
        weights={
            "w": np.array([[2, -1], [0, 3]], np.float32),
            "b": np.array([5, 0], np.float32),
        },
    )
    steps: list[tuple[int, int]] = []
    found = measured(
        model,
        {"x": np.array([[1, -2]], np.float32)},
        {"x": np.array([[-3, 1], [0, 0]], np.float32)},
        progress=lambda *step: steps.append(step),
    )
    # h is [2, -7], [-6, 6] and [0, 0].
    assert found.largest == {"x": 3, "h": 7, "k": 6, "y": 6}
    assert found.cases == 2
    assert steps == [(0, 2), (1, 2)]


def test_a_sum_is_that_of_the_absolute_terms(save: Save) -> None:
    model = save(
        "(float[1,2] x) => (float[1,1] y) { h = Gemm<alpha=-2.0>(x, w, b) k = ReduceMean(x, a) "
        "l = ReduceL2(x, a) m = ReduceSum(x, a) y = Sum(h, k, l, m) }",
        weights={
            "w": np.array([[3], [-4]], np.float32),
            "b": np.array([-1], np.float32),
            "a": np.array([1]),
        },
    )
    found = measured(model, {"x": np.array([[10, 10]], np.float32)})
    assert found.sums == {"Gemm:h": 141, "ReduceMean:k": 20, "ReduceL2:l": 200, "ReduceSum:m": 20}
    assert found.largest["h"] == 19


def test_infinities_and_nan_are_left_out(save: Save) -> None:
    model = save("(float[n] x) => (float[n] y) { h = Log(x) y = Mul(h, h) }")
    feed = {"x": np.array([0, -1, np.e, np.inf], np.float32)}
    found = measured(model, feed)
    assert found.largest["h"] == pytest.approx(1, rel=1e-5)
    assert found.largest["x"] == pytest.approx(np.e, rel=1e-5)


def test_an_old_opset_counts_them_as_out_of_every_range(save: Save) -> None:
    model = save("(float[n] x) => (float[n] y) { h = Log(x) y = Mul(h, h) }", opset=8)
    found = measured(model, {"x": np.array([0, np.e], np.float32)})
    assert found.largest["h"] == UNBOUNDED


def test_what_leads_to_a_softmax_is_also_measured_with_its_sign(save: Save) -> None:
    model = save(
        "(float[n,2] x) => (float[n,2] y) { h = Mul(x, s) k = Add(h, m) y = Softmax(k) }",
        weights={"m": np.array([-1e9, 1], np.float32), "s": np.array(2, np.float32)},
    )
    found = measured(model, {"x": np.array([[-3, 2]], np.float32)})
    assert found.highest == {"x": 2, "h": 4, "k": 5}
    assert found.largest["k"] == pytest.approx(1e9)


def test_values_inside_branches_are_not_looked_at(save: Save) -> None:
    model = save(
        "(float[n] x, bool c) => (float[n] y) { y = If(c)<then_branch = t () => (float[n] a) "
        "{ a = Add(x, x) }, else_branch = e () => (float[n] b) { b = Relu(x) }> }"
    )
    found = measured(model, {"x": np.array([1, -4], np.float32), "c": np.array(False)})
    assert found.largest == {"x": 4, "y": 1}
    assert found.sums == {}


def test_external_data_is_found(save: Save) -> None:
    weights = {"w": np.full((8, 8), 2, np.float32)}
    model = save("(float[n,8] x) => (float[n,8] y) { y = MatMul(x, w) }", weights=weights)
    onnx.save(
        onnx.load(model), model, save_as_external_data=True, location="w.bin", size_threshold=0
    )
    found = measured(model, {"x": np.ones((1, 8), np.float32)})
    assert found.largest["y"] == 16
    assert (model.parent / "w.bin").stat().st_nlink == 1


def test_names_that_are_taken_are_not_used_again(save: Save) -> None:
    model = save("(float[n] x) => (float[n] infinity) { x_Abs = Neg(x) infinity = Exp(x_Abs) }")
    found = measured(model, {"x": np.array([-1, -2], np.float32)})
    assert found.largest == {"x": 2, "x_Abs": 2, "infinity": pytest.approx(np.exp(2), rel=1e-5)}


def test_a_case_that_does_not_run_is_an_error(save: Save) -> None:
    model = save(
        "(float[n,4] x) => (float[m,2] y) { y = Reshape(x, s) }",
        weights={"s": np.array([3, 2])},
    )
    with pytest.raises(RunFailed):
        measured(model, {"x": np.ones((1, 4), np.float32)})


@given(
    st.lists(
        st.floats(-(2.0**99), 2.0**99, width=32, allow_subnormal=False)
        | st.sampled_from([np.inf, -np.inf]),
        min_size=1,
        max_size=6,
    )
)
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_largest_finite_input_is_what_numpy_finds(save: Save, numbers: list[float]) -> None:
    model = save("(float[n] x) => (float[n] y) { y = Neg(x) }")
    array = np.array(numbers, np.float32)
    finite = np.abs(array[np.isfinite(array)])
    assert measured(model, {"x": array}).largest["y"] == finite.max(initial=0)
