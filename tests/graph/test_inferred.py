"""Sizes by shape inference: those of one feed, and what it can't know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="graphs are read with onnx")

from edgekit.errors import ModelFileError
from edgekit.graph.inferred import infer_sizes, weights_bytes

Write = Callable[[str], Path]
HEAD = '<ir_version: 10, opset_import: ["": 20, "com.microsoft": 1]> g '


def test_sizes_are_those_of_the_feed(write_text: Write) -> None:
    path = write_text(
        HEAD + "(float[batch,4] x) => (float[batch,3] y) "
        "<float[4,3] w = {1,2,3,4,5,6,7,8,9,10,11,12}> "
        "{ [product] h = MatMul(x, w) [end] y = Relu(h) }"
    )
    product, end = infer_sizes(path, {"x": (7, 4)})
    assert product.known
    assert [one.shape for one in product.inputs if one] == [(7, 4), (4, 3)]
    assert product.constant_bytes == weights_bytes(path) == 48
    assert end.output() is not None
    assert end.outputs[0] is not None
    assert (end.outputs[0].dtype, end.outputs[0].shape) == ("float32", (7, 3))


def test_sizes_that_hang_on_values_are_followed(write_text: Write) -> None:
    path = write_text(
        HEAD + "(float[batch,4] x) => (float[n] y) <int64[1] minus = {-1}> "
        "{ [flat] y = Reshape(x, minus) }"
    )
    (flat,) = infer_sizes(path, {"x": (3, 4)})
    assert flat.outputs[0] is not None
    assert flat.outputs[0].shape == (12,)


def test_what_inference_does_not_know_is_said(write_text: Write) -> None:
    path = write_text(
        HEAD + "(float[batch,4] x) => (float[batch,4] y) "
        "{ [odd] h = com.microsoft.Frobnicate(x) [end] y = Relu(h) }"
    )
    assert [node.known for node in infer_sizes(path, {"x": (3, 4)})] == [False, False]


def test_shapes_that_contradict_the_model_are_refused(write_text: Write) -> None:
    path = write_text(
        HEAD + "(float[batch,4] x) => (float[batch,3] y) "
        "<float[4,3] w = {1,2,3,4,5,6,7,8,9,10,11,12}> { y = MatMul(x, w) }"
    )
    with pytest.raises(ModelFileError, match=r"net\.onnx"):
        infer_sizes(path, {"x": (7, 5)})
