"""What stands in for an fp16 model on a CPU rounds and overflows as fp16 does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

from edgekit.quantize import fp16  # noqa: E402
from edgekit.quantize.floats.rounding import write_stand_in  # noqa: E402

Save = Callable[..., Path]
Run = Callable[[Path, dict[str, Any]], dict[str, Any]]


def stand_in(model: Path, **given: Any) -> Path:
    half, output = model.with_name("half.onnx"), model.with_name("stand-in.onnx")
    fp16.convert(model, half, **given)
    assert write_stand_in(half, output)
    onnx.checker.check_model(str(output), full_check=True)
    return output


def test_every_step_is_rounded_as_numpy_rounds_it(save: Save, run: Run) -> None:
    body = "h = Mul(x, w) k = Add(h, c) l = Reshape(k, s) y = Sub(l, c)"
    w, c = np.float32(0.3333), np.float32(100)
    weights = {"w": w, "c": c, "s": np.array([-1])}
    model = save(f"(float[n] x) => (float[n] y) {{ {body} }}", weights=weights)
    x = np.random.default_rng(0).standard_normal(200).astype(np.float32)
    half = np.float16
    expected = (x.astype(half) * half(w) + half(c)) - half(c)
    np.testing.assert_array_equal(run(stand_in(model), {"x": x})["y"], expected.astype(np.float32))
    # float32, which the CPU provider computes in, would have told more of them apart.
    assert len(np.unique(run(model, {"x": x})["y"])) > 2 * len(np.unique(expected))


def test_what_overflows_in_fp16_overflows(save: Save, run: Run) -> None:
    model = save(
        "(float[n] x) => (float[n] y) { h = Mul(x, c) y = Div(h, c) }",
        weights={"c": np.float32(1000)},
    )
    x = np.array([1, 100], np.float32)
    assert run(stand_in(model), {"x": x})["y"].tolist() == [1, np.inf]


def test_a_node_that_stays_in_float32_is_not_rounded(save: Save, run: Run) -> None:
    model = save(
        "(float[n] x) => (float[n] y) { h = Mul(x, c) k = Div(h, c) y = Neg(k) }",
        weights={"c": np.float32(1000)},
    )
    x = np.array([1, 100], np.float32)
    path = stand_in(model, keep_float={"Mul:h": "why", "Div:k": "why"})
    assert run(path, {"x": x})["y"].tolist() == [-1, -100]


def test_external_data_stays_external(save: Save, run: Run) -> None:
    model = save(
        "(float[n,64] x) => (float[n,64] y) { y = MatMul(x, w) }",
        weights={"w": np.eye(64, dtype=np.float32)},
    )
    onnx.save(
        onnx.load(model), model, save_as_external_data=True, location="w.bin", size_threshold=0
    )
    path = stand_in(model)
    assert path.stat().st_size < 64 * 64 * 4
    x = np.ones((1, 64), np.float32)
    np.testing.assert_array_equal(run(path, {"x": x})["y"], x)


def test_nothing_stands_in_where_fp16_goes_in_or_into_a_branch(save: Save) -> None:
    text = "(float16[n] x, float[m] z) => (float16[n] y, float[m] w) { y = Neg(x) w = Neg(z) }"
    assert not write_stand_in(save(text), Path("never.onnx"))
    text = (
        "(float[n] x, bool c) => (float[n] y) { h = Cast<to=10>(x) "
        "k = If(c)<then_branch = t () => (float16[n] a) { a = Neg(h) }, "
        "else_branch = e () => (float16[n] b) { b = Abs(h) }> y = Cast<to=1>(k) }"
    )
    assert not write_stand_in(save(text), Path("never.onnx"))
    assert not Path("never.onnx").exists()


def test_a_row_that_is_masked_whole_stays_finite(save: Save, run: Run) -> None:
    model = save(
        "(float[n,2] x) => (float[n,2] y) { h = Add(x, m) y = Softmax(h) }",
        weights={"m": np.full(2, np.finfo(np.float32).min, np.float32)},
    )
    x = np.array([[-50, -50], [-60, -60]], np.float32)
    np.testing.assert_array_equal(run(stand_in(model), {"x": x})["y"], np.full((2, 2), 0.5))
