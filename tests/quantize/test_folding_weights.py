"""Weights that are put together of others become one, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

from edgekit.quantize.elements import read_typed  # noqa: E402 - only where onnx is installed
from edgekit.quantize.folding_weights import fold_weights  # noqa: E402

Save = Callable[..., Path]
Run = Callable[[Path, dict[str, Any]], dict[str, Any]]
W = np.arange(12, dtype=np.float32).reshape(3, 4)
MOVED = {
    "Transpose": "t = Transpose<perm=[1,0]>(w) y = MatMul(x, t)",
    "two steps": "s = Transpose<perm=[1,0]>(w) t = Identity(s) y = MatMul(x, t)",
    "Slice and Concat": "a = Slice(w, zero, two) b = Slice(w, two, three) "
    "c = Concat<axis=0>(b, a) t = Transpose<perm=[1,0]>(c) y = MatMul(x, t)",
    "Split": "a, b = Split<axis=0, num_outputs=2>(w) c = Concat<axis=0>(b, a) "
    "t = Transpose<perm=[1,0]>(c) y = MatMul(x, t)",
    "a shape that is a node": "s = Constant<value = int64[2] {4, 3}>() t = Reshape(w, s) "
    "y = MatMul(x, t)",
}
NUMBERS = {name: np.array([n], np.int64) for name, n in (("zero", 0), ("two", 2), ("three", 3))}


def folded(model: Path, *wanted: str) -> Any:
    typed = read_typed(model)
    fold_weights(typed, wanted)
    onnx.save(typed, model.with_name("folded.onnx"))
    return typed.graph


@pytest.mark.parametrize("kind", MOVED)
def test_weight_that_is_moved_about_is_worked_out(save: Save, run: Run, kind: str) -> None:
    model = save(
        f"(float[n,4] x) => (float[n,3] y) {{ {MOVED[kind]} }}", weights={"w": W, **NUMBERS}
    )
    graph = folded(model, "t")
    assert [node.op_type for node in graph.node] == ["MatMul"]
    assert [tensor.name for tensor in graph.initializer] == ["t"]
    feed = {"x": np.ones((2, 4), np.float32)}
    exact = run(model, feed)["y"]
    assert np.array_equal(run(model.with_name("folded.onnx"), feed)["y"], exact)


def test_what_else_needs_is_left(save: Save) -> None:
    model = save(
        "(float[n,3] x) => (float[n,3] y, float[4,3] s) { s = Transpose<perm=[1,0]>(w) "
        "t = Identity(w) a = MatMul(x, t) y = MatMul(a, s) }",
        weights={"w": W},
    )
    graph = folded(model, "t")
    assert [node.op_type for node in graph.node] == ["Transpose", "MatMul", "MatMul"]
    assert {tensor.name for tensor in graph.initializer} == {"w", "t"}


@pytest.mark.parametrize(
    "body",
    [
        "t = Add(w, x) y = Relu(t)",
        "t = Expand(w, big) y = Add(x, t)",
        "t = Exp(w) y = Add(x, t)",
        "t = Transpose<perm=[1,0]>(x) y = Relu(t)",
    ],
)
def test_what_is_computed_or_grows_is_left(save: Save, body: str) -> None:
    big = np.array([1000, 4, 4], np.int64)
    model = save(
        f"(float[4,4] x) => (float[a,b] y) {{ {body} }}",
        weights={"w": np.ones((4, 4), np.float32), "big": big},
    )
    before = [node.op_type for node in onnx.load(model).graph.node]
    graph = folded(model, "t", "no such value")
    assert [node.op_type for node in graph.node] == before
