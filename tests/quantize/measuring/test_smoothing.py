"""Outliers moved into weights: the answers stay, and one channel no longer rules the scale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.errors import BadValue, UnknownName

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

from edgekit.quantize.elements import read_typed  # noqa: E402
from edgekit.quantize.measuring.smoothing import (  # noqa: E402
    channel_maxima,
    gains,
    smooth,
    smoothable,
)
from edgekit.quantize.weights import as_int8  # noqa: E402

Save = Callable[..., Path]
Run = Callable[[Path, dict[str, Any]], dict[str, Any]]

RNG = np.random.default_rng(7)
OUTLYING = np.array([1, 100, 1, 0.5, 30, 1], np.float32)
WEIGHTS = {
    "v": RNG.normal(size=(6, 6)).astype(np.float32),
    "w": RNG.normal(size=(6, 4)).astype(np.float32),
    "wt": RNG.normal(size=(4, 6)).astype(np.float32),
    "b": RNG.normal(size=6).astype(np.float32),
    "g": OUTLYING,
    "one": np.array(3, np.float32),
}


def maxima_of(model: Path, *values: str, feeds: list[Any]) -> dict[str, Any]:
    scratch = model.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    found = channel_maxima(model, lambda: iter(feeds), values, scratch=scratch, wall_s=60)
    assert list(scratch.iterdir()) == []
    return found


def feeds_of(n: int = 3) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    return [{"x": rng.normal(size=(2, i + 1, 6)).astype(np.float32)} for i in range(n)]


def smoothed(model: Path, *values: str, alpha: float = 0.5) -> tuple[Path, tuple[str, ...]]:
    typed = read_typed(model)
    maxima = maxima_of(model, *values, feeds=feeds_of())
    touched = smooth(typed, maxima, alpha=alpha)
    path = model.with_name("smoothed.onnx")
    onnx.save(typed, path)
    onnx.checker.check_model(path, full_check=True)
    return path, touched


FOLDED = {
    "LayerNormalization": "a = LayerNormalization(x, g, b) y = MatMul(a, w)",
    "LayerNormalization without a bias": "a = LayerNormalization(x, g) y = MatMul(a, w)",
    "two readers": "a = LayerNormalization(x, g, b) p = MatMul(a, w) q = MatMul(a, w) "
    "y = Add(p, q)",
    "MatMul": "a = MatMul(x, v) y = MatMul(a, w)",
    "MatMul, Add, Relu": "m = MatMul(x, v) n = Add(b, m) a = Relu(n) y = MatMul(a, w)",
    "LeakyRelu": "m = MatMul(x, v) a = LeakyRelu(m) y = MatMul(a, w)",
    "constant Mul": "m = Sigmoid(x) a = Mul(m, g) y = MatMul(a, w)",
    "Mul with one number": "m = Sigmoid(x) a = Mul(one, m) y = MatMul(a, w)",
    "Sub and Div": "m = MatMul(x, v) d = Div(m, g) a = Sub(d, b) y = MatMul(a, w)",
    "gate": "m = Sigmoid(x) n = MatMul(x, v) a = Mul(m, n) y = MatMul(a, w)",
    "weight that others read": "a = MatMul(x, v) z = MatMul(x, v) r = MatMul(z, w) "
    "q = MatMul(a, w) y = Add(q, r)",
}

ADDED = {
    "input": "y = MatMul(x, w)",
    "Gelu": "m = MatMul(x, v) a = Gelu(m) y = MatMul(a, w)",
    "residual": "a = LayerNormalization(x, g, b) p = MatMul(a, v) r = Add(p, a) "
    "y = ReduceMean<keepdims=0>(r)",
    "sum of two that are computed": "s = Sigmoid(x) m = MatMul(x, v) a = Add(s, m) "
    "y = MatMul(a, w)",
    "value read twice on the way": "m = MatMul(x, v) r = Relu(m) y0 = MatMul(r, w) "
    "z = ReduceMean<keepdims=0>(m) y = Add(y0, z)",
    "square": "m = MatMul(x, v) a = Mul(m, m) y = MatMul(a, w)",
    "norm over more axes": "a = LayerNormalization<axis=1>(x, gg) y = MatMul(a, w)",
}


@pytest.mark.parametrize("text", FOLDED.values(), ids=FOLDED)
def test_smoothing_goes_into_the_weights_before_where_the_answers_stay_the_same(
    text: str, save: Save, run: Run, nodes: Callable[[Path], list[str]]
) -> None:
    model = save(f"(float[n,t,6] x) => (float[n,t,4] y) {{ {text} }}", weights=WEIGHTS)
    path, touched = smoothed(model, "a")
    assert touched == tuple(smoothable(read_typed(model))["a"])
    assert nodes(path) == nodes(model)
    assert_same_answers(model, path, run)


@pytest.mark.parametrize("text", ADDED.values(), ids=ADDED)
def test_smoothing_adds_a_mul_where_the_weights_before_cannot_take_it(
    text: str, save: Save, run: Run, nodes: Callable[[Path], list[str]]
) -> None:
    weights = {**WEIGHTS, "gg": np.ones((1, 6), np.float32)}
    sizes = "[n,1,6]" if "axis=1" in text else "[n,t,6]"
    out = "float y" if "keepdims=0>(r)" in text else "float[n,t,4] y"
    model = save(f"(float{sizes} x) => ({out}) {{ {text} }}", weights=weights)
    typed = read_typed(model)
    (value, *_) = [name for name in ("a", "r", "x") if name in smoothable(typed)]
    maxima: dict[str, Any] = {str(value): np.arange(1, 7, dtype=np.float32)}
    touched = smooth(typed, maxima)
    assert len(touched) == 1
    path = model.with_name("smoothed.onnx")
    onnx.save(typed, path)
    onnx.checker.check_model(path, full_check=True)
    assert sorted(nodes(path)) == sorted([*nodes(model), "Mul"])
    assert_same_answers(model, path, run, steps=1 if "axis=1" in text else 5)


def assert_same_answers(model: Path, smoothed: Path, run: Run, *, steps: int = 5) -> None:
    x = np.random.default_rng(2).normal(size=(2, steps, 6)).astype(np.float32)
    before, after = run(model, {"x": x})["y"], run(smoothed, {"x": x})["y"]
    scale = max(float(np.abs(before).max()), 1.0)
    np.testing.assert_allclose(after, before, atol=1e-5 * scale)


@pytest.mark.parametrize("turned", [False, True])
def test_a_gemm_is_smoothed_whichever_way_its_weights_lie(
    turned: bool, save: Save, run: Run
) -> None:
    weight = "wt" if turned else "w"
    model = save(
        f"(float[n,6] x) => (float[n,4] y) {{ m = Gemm<transB=1>(x, v, b) a = Relu(m) "
        f"y = Gemm<transB={int(turned)}, alpha=0.5>(a, {weight}) }}",
        weights=WEIGHTS,
    )
    typed = read_typed(model)
    assert smooth(typed, {"a": np.array([1, 50, 2, 0, 3, 4], np.float32)}) == ("Gemm:y",)
    path = model.with_name("smoothed.onnx")
    onnx.save(typed, path)
    x = np.random.default_rng(2).normal(size=(5, 6)).astype(np.float32)
    np.testing.assert_allclose(run(path, {"x": x})["y"], run(model, {"x": x})["y"], atol=1e-4)


def test_the_maxima_are_those_of_each_channel_over_all_cases_of_any_size(save: Save) -> None:
    model = save("(float[n,t,6] x) => (float[n,t,4] y) { y = MatMul(x, w) }", weights=WEIGHTS)
    feeds = feeds_of(4)
    expected = np.max([np.abs(feed["x"]).max(axis=(0, 1)) for feed in feeds], axis=0)
    np.testing.assert_array_equal(maxima_of(model, "x", feeds=feeds)["x"], expected)


def test_a_channel_of_infinities_is_one_of_which_nothing_is_known(save: Save) -> None:
    model = save("(float[n,2] x) => (float[n,1] y) { a = Log(x) y = MatMul(a, u) }", weights={
        "u": np.ones((2, 1), np.float32)
    })  # fmt: skip
    feeds = [{"x": np.array([[0, 1], [1, np.e]], np.float32)}]
    np.testing.assert_allclose(maxima_of(model, "a", feeds=feeds)["a"], [0, 1], atol=1e-6)


def test_each_channel_gets_the_maximum_that_the_paper_says(save: Save, run: Run) -> None:
    weights = {**WEIGHTS, "w": np.ones((6, 4), np.float32)}
    model = save(
        "(float[n,t,6] x) => (float[n,t,4] y) { a = Mul(x, g) y = MatMul(a, w) }", weights=weights
    )
    before = maxima_of(model, "a", feeds=feeds_of())["a"]
    for alpha, power in ((0.5, 0.5), (1.0, 0.0), (0.0, 1.0)):
        path, _ = smoothed(model, "a", alpha=alpha)
        after = maxima_of(path, "a", feeds=feeds_of())["a"]
        np.testing.assert_allclose(after, before**power, rtol=1e-5)


def test_an_exponent_outside_of_its_range_is_refused(save: Save) -> None:
    model = save("(float[n,6] x) => (float[n,4] y) { y = MatMul(x, w) }", weights=WEIGHTS)
    with pytest.raises(BadValue, match=r"exponent of smoothing cannot be 1\.5"):
        smooth(read_typed(model), {}, alpha=1.5)


def test_a_value_in_front_of_no_weights_is_refused(save: Save) -> None:
    model = save("(float[n,6] x) => (float[n,n] y) { t = Transpose(x) y = MatMul(x, t) }")
    assert smoothable(read_typed(model)) == {}
    with pytest.raises(UnknownName, match="no value to smooth 'x'"):
        maxima_of(model, "x", feeds=[])


def int8(x: Any, w: Any) -> Any:
    """Multiply as 8-bit integers would: one scale for x, one a channel of the answer for w."""
    step = np.abs(x).max() / 127
    integers, scale = as_int8(w, axis=1)
    return np.rint(x / step) * step @ (integers * scale)


@pytest.mark.parametrize("far", [1, 10, 200])
def test_what_is_gained_is_foretold(far: float, save: Save) -> None:
    rng = np.random.default_rng(3)
    spread = np.ones(256, np.float32)
    spread[:4] = far
    weights = {
        "g": spread,
        "w": rng.normal(size=(256, 64)).astype(np.float32),
    }
    model = save(
        "(float[n,256] x) => (float[n,64] y) { a = Mul(x, g) y = MatMul(a, w) }", weights=weights
    )
    x = rng.normal(size=(500, 256)).astype(np.float32)
    typed = read_typed(model)
    maxima = maxima_of(model, "a", feeds=[{"x": x}])
    foretold = gains(typed, maxima)["a"]
    smooth(typed, maxima)
    after = {t.name: onnx.numpy_helper.to_array(t) for t in typed.graph.initializer}
    exact = (x * spread) @ weights["w"]
    noise = np.square(int8(x * spread, weights["w"]) - exact).mean()
    left = np.square(int8(x * after["g"], after["w"]) - exact).mean()
    assert foretold == pytest.approx(10 * np.log10(noise / left), abs=2)
    assert foretold > 8 if far == 200 else foretold > -3


@given(st.lists(st.floats(0, 2.0**99, width=32), min_size=6, max_size=6), st.floats(0, 1))
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_maxima_spoil_the_answers(
    save: Save, run: Run, numbers: list[float], alpha: float
) -> None:
    model = save("(float[n,6] x) => (float[n,4] y) { y = MatMul(x, w) }", weights=WEIGHTS)
    typed = read_typed(model)
    smooth(typed, {"x": np.array(numbers, np.float32)}, alpha=alpha)
    path = model.with_name("smoothed.onnx")
    onnx.save(typed, path)
    x = np.random.default_rng(2).normal(size=(5, 6)).astype(np.float32)
    np.testing.assert_allclose(run(path, {"x": x})["y"], run(model, {"x": x})["y"], atol=1e-4)
