"""The range of each value of a float model, against what numpy says of all its numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.errors import BadValue, InputError, RunFailed, UnknownName
from edgekit.terms import CalibrationMethod, members

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

from edgekit.quantize.measuring import calibration  # noqa: E402
from edgekit.quantize.measuring.calibration import Observed, Range, observe  # noqa: E402

Save = Callable[..., Path]
Run = Callable[[Path, dict[str, Any]], dict[str, Any]]
LOWEST = float(np.finfo(np.float32).min)


def observed(model: Path, feeds: list[dict[str, Any]], *values: str, **given: Any) -> Observed:
    scratch = model.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    found = observe(model, lambda: iter(feeds), values, scratch=scratch, wall_s=60, **given)
    assert list(scratch.iterdir()) == []
    return found


@pytest.fixture
def relu(save: Save) -> Path:
    weights = {"w": np.array([[2, -1], [0, 3]], np.float32)}
    return save(
        "(float[n,2] x) => (float[n,2] y) { h = MatMul(x, w) y = Relu(h) }", weights=weights
    )


def test_minmax_is_the_smallest_and_largest_over_all_cases_of_any_size(relu: Path) -> None:
    feeds = [
        {"x": np.array([[1, -2]], np.float32)},
        {"x": np.array([[-3, 1], [0, 0], [0, 1]], np.float32)},
    ]
    steps: list[tuple[int, int]] = []
    found = observed(relu, feeds, "x", "h", "y", progress=lambda *step: steps.append(step))
    # h is [2, -7], [-6, 6], [0, 0] and [0, 3].
    assert found == Observed({"x": Range(-3, 1), "h": Range(-7, 6), "y": Range(0, 6)}, 2)
    assert steps == [(0, 1), (1, 2)]


@pytest.mark.parametrize("method", members(CalibrationMethod))
def test_a_value_of_zeros_and_one_that_was_never_there_have_no_range(
    save: Save, method: CalibrationMethod
) -> None:
    model = save(
        "(float[n] x, bool[n] c) => (float[n] y) { h = Mul(x, z) k = Compress(x, c) y = Neg(x) }",
        weights={"z": np.array(0, np.float32)},
    )
    none = {"x": np.ones(3, np.float32), "c": np.zeros(3, bool)}
    found = observed(model, [none], "h", "k", "y", method=method)
    assert found == Observed({"h": Range(0, 0), "k": Range(0, 0), "y": Range(-1, -1)}, 1)
    some = {"x": np.array([2, 4, 3], np.float32), "c": np.array([True, False, True])}
    assert observed(model, [none, some, none], "k").ranges == {"k": Range(2, 3)}


def test_a_percentile_is_that_of_all_numbers_of_all_cases(relu: Path, run: Run) -> None:
    rng = np.random.default_rng(0)
    feeds = [
        {"x": rng.normal(size=(n, 2)).astype(np.float32) * (1 + n / 99)} for n in range(40, 140)
    ]
    found = observed(relu, feeds, "x", "y", method="percentile", percentile=98)
    x = np.concatenate([feed["x"] for feed in feeds])
    low, high = np.percentile(x, [1, 99])
    assert found.ranges["x"].low == pytest.approx(low, abs=0.01)
    assert found.ranges["x"].high == pytest.approx(high, abs=0.01)
    y = np.concatenate([run(relu, feed)["y"] for feed in feeds])
    assert found.ranges["y"].low == 0
    assert found.ranges["y"].high == pytest.approx(np.percentile(y, 99), abs=0.02)


def test_entropy_is_read_off_one_histogram_of_all_cases(relu: Path) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(100, 1000, 2)).astype(np.float32)
    numbers[50, 0] = 60, -60
    feeds = [{"x": part} for part in numbers]
    found = observed(relu, feeds, "x", "y", method="entropy")
    assert -7 < found.ranges["x"].low < -2
    assert 2 < found.ranges["x"].high < 7
    together = observed(relu, [{"x": numbers.reshape(-1, 2)}], "x", "y", method="entropy")
    assert together.ranges == found.ranges
    of_one_zero_point = observed(relu, feeds, "x", method="entropy", symmetric=True)
    assert of_one_zero_point.ranges["x"].low == -of_one_zero_point.ranges["x"].high


def test_histograms_are_made_of_as_many_values_at_once_as_fit(
    relu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    feeds = [{"x": rng.normal(size=(50, 2)).astype(np.float32)} for _ in range(3)]
    steps: list[tuple[int, int]] = []
    at_once = observed(relu, feeds, "x", "h", "y", method="percentile")
    monkeypatch.setattr(calibration, "PORTION_BYTES", 1)
    one_by_one = observed(
        *(relu, feeds, "x", "h", "y"),
        method="percentile",
        progress=lambda *step: steps.append(step),
    )
    assert one_by_one == at_once
    # One pass for the extremes, then one for each of three values.
    assert steps[-1] == (11, 12)


@pytest.mark.parametrize("method", members(CalibrationMethod))
def test_what_is_not_finite_is_left_out_and_said(save: Save, method: CalibrationMethod) -> None:
    model = save("(float[n] x) => (float[n] y) { h = Log(x) y = Neg(h) }")
    feeds = [{"x": np.array([0, -1, np.e, 1, np.inf, np.nan], np.float32)}] * 2
    found = observed(model, feeds, "h", "y", method=method, percentile=100)
    assert found.ranges["h"].low == pytest.approx(0, abs=1e-6)
    assert found.ranges["h"].high == pytest.approx(1, abs=1e-6)
    assert found.ranges["y"].low == pytest.approx(-1, abs=1e-6)
    (note,) = found.notes
    assert "were met in h, y" in note


def test_a_value_with_no_finite_number_has_no_range(save: Save) -> None:
    model = save("(float[n] x) => (float[n] y) { h = Log(x) y = Neg(h) }")
    found = observed(model, [{"x": np.zeros(2, np.float32)}], "y")
    assert found.ranges == {"y": Range(0, 0)}
    assert "left out of its range" in found.notes[0]


@pytest.mark.parametrize("lowest", [LOWEST, -np.inf, -1e9, -10000.0])
def test_what_a_mask_puts_in_does_not_stretch_the_range(save: Save, lowest: float) -> None:
    model = save(
        "(float[n,3] x) => (float[n,3] y) { k = Add(x, m) y = Softmax(k) }",
        weights={"m": np.array([0, lowest, 0], np.float32)},
    )
    found = observed(model, [{"x": np.array([[-3, 5, 2]], np.float32)}], "k", "x")
    assert found.ranges == {"k": Range(-3, 2), "x": Range(-3, 5)}
    assert found.notes == ()


def test_large_numbers_that_no_mask_put_in_are_kept(save: Save) -> None:
    model = save("(float[n] x) => (float[n] y) { y = Neg(x) }")
    found = observed(model, [{"x": np.array([-20000, 3], np.float32)}], "x", "y")
    assert found.ranges == {"x": Range(-20000, 3), "y": Range(-3, 20000)}


def test_values_inside_branches_are_no_values_of_the_main_graph(save: Save) -> None:
    model = save(
        "(float[n] x, bool c) => (float[n] y) { y = If(c)<then_branch = t () => (float[n] a) "
        "{ a = Add(x, x) }, else_branch = e () => (float[n] b) { b = Relu(x) }> }"
    )
    feeds = [{"x": np.array([1, -4], np.float32), "c": np.array(c)} for c in (True, False)]
    assert observed(model, feeds, "y").ranges == {"y": Range(-8, 2)}
    with pytest.raises(UnknownName, match="no float32 value 'a' in the main graph"):
        observed(model, feeds, "a")


@pytest.mark.parametrize("opset", [11, 13, 17, 18, 21])
def test_every_opset_s_reductions_are_written(save: Save, opset: int) -> None:
    model = save("(float[n] x) => (float[n] y) { y = Exp(x) }", opset=opset)
    feeds = [{"x": np.array([0, 1, np.inf], np.float32)}]
    found = observed(model, feeds, "x", "y", method="percentile", percentile=100)
    assert found.ranges["x"] == Range(0, 1)
    assert found.ranges["y"].high == pytest.approx(np.e, rel=1e-6)


def test_a_model_of_other_operators_alone_is_looked_at(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["com.microsoft": 1]> g '
        "(float[n] x) => (float[n] y) { y = com.microsoft.QuickGelu(x) }"
    )
    onnx.save(model, tmp_path / "model.onnx")
    found = observed(tmp_path / "model.onnx", [{"x": np.array([-1, 0], np.float32)}], "x", "y")
    assert found.ranges["x"] == Range(-1, 0)
    assert found.ranges["y"].low == pytest.approx(-0.154, abs=1e-3)


def test_external_data_is_found(save: Save) -> None:
    weights = {"w": np.full((8, 8), 2, np.float32)}
    model = save("(float[n,8] x) => (float[n,8] y) { y = MatMul(x, w) }", weights=weights)
    onnx.save(
        onnx.load(model), model, save_as_external_data=True, location="w.bin", size_threshold=0
    )
    found = observed(model, [{"x": np.ones((1, 8), np.float32)}], "y")
    assert found.ranges["y"] == Range(16, 16)


def test_names_that_are_taken_are_not_used_again(save: Save) -> None:
    model = save(
        "(float[n] x) => (float[n] constant) { x_Reshape = Neg(x) constant = Exp(x_Reshape) }"
    )
    found = observed(model, [{"x": np.array([0, -1], np.float32)}], "x", "x_Reshape", "constant")
    assert found.ranges["x_Reshape"] == Range(0, 1)
    assert found.ranges["constant"].high == pytest.approx(np.e, rel=1e-6)


def test_no_feeds_are_refused(relu: Path) -> None:
    with pytest.raises(BadValue, match="calibration feeds cannot be none"):
        observed(relu, [], "x")


def test_a_percentile_that_is_none_is_refused(relu: Path) -> None:
    with pytest.raises(BadValue, match="percentile cannot be 30"):
        observed(relu, [{"x": np.ones((1, 2), np.float32)}], "x", percentile=30)


def test_a_value_that_is_not_there_is_refused(relu: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean"):
        observed(relu, [], "xx")


def test_a_feed_that_does_not_fit_is_an_error_and_leaves_nothing(relu: Path) -> None:
    scratch = relu.parent / "left"
    scratch.mkdir()
    feeds = [{"x": np.ones((1, 2), np.float32)}, {"x": np.ones((1, 3), np.float32)}]
    with pytest.raises(InputError, match="Axis 1 of x has size 3"):
        observe(relu, lambda: iter(feeds), ["y"], scratch=scratch, wall_s=60)
    assert list(scratch.iterdir()) == []


def test_a_case_that_does_not_run_is_an_error(save: Save) -> None:
    model = save(
        "(float[n,4] x) => (float[m,2] y) { y = Reshape(x, s) }",
        weights={"s": np.array([3, 2])},
    )
    with pytest.raises(RunFailed):
        observed(model, [{"x": np.ones((1, 4), np.float32)}], "y")


@given(
    st.lists(
        st.lists(
            st.floats(-(2.0**90), 2.0**90, width=32, allow_subnormal=False)
            | st.sampled_from([np.inf, -np.inf, np.nan, LOWEST]),
            min_size=1,
            max_size=6,
        ),
        min_size=1,
        max_size=3,
    )
)
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_range_is_that_of_the_finite_numbers(save: Save, cases: list[list[float]]) -> None:
    model = save("(float[n] x) => (float[n] y) { y = Neg(x) }")
    feeds = [{"x": np.array(case, np.float32)} for case in cases]
    found = observed(model, feeds, "y").ranges["y"]
    numbers = -np.concatenate([feed["x"] for feed in feeds])
    kept = numbers[np.abs(numbers) < calibration.HUGE]
    assert found == (Range(kept.min(), kept.max()) if len(kept) else Range(0, 0))
