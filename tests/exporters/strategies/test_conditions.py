from __future__ import annotations

import onnx_ir
import pytest
from torch import nn

from edgekit.errors import DimensionLost, ExportFailed, OpsetUnavailable, UnrolledLoop
from edgekit.tensors import Dim
from exporters.strategies.conditions import (
    check_dimensions,
    check_opset,
    recurrent_operators,
    refuse_unrolled,
)

A, B = Dim("a"), Dim("b")
SHAPES = {"x": (A, 4), "y": (B, 4)}


def model_of(x: list[int | str], y: list[int | str], *nodes: onnx_ir.Node) -> onnx_ir.Model:
    inputs = [
        onnx_ir.val("x", onnx_ir.DataType.FLOAT, onnx_ir.Shape(x)),
        onnx_ir.val("y", onnx_ir.DataType.FLOAT, onnx_ir.Shape(y)),
    ]
    graph = onnx_ir.Graph(inputs, [], nodes=nodes, opset_imports={"": 20}, name="g")
    return onnx_ir.Model(graph, ir_version=10)


def test_dimensions_that_came_out_as_asked_pass() -> None:
    check_dimensions(model_of(["a", 4], ["b", 4]), SHAPES, "net")


def test_two_dimensions_that_became_one_want_one_name() -> None:
    with pytest.raises(
        ExportFailed, match=r"a and b to be equal\. Give axis 0 of y the name a too"
    ):
        check_dimensions(model_of(["a", 4], ["a", 4]), SHAPES, "net")


def test_a_dimension_that_became_a_number_is_lost() -> None:
    with pytest.raises(DimensionLost, match=r"Axis 0 of y was to stay dynamic \(b:1\.\.\).* to 2"):
        check_dimensions(model_of(["a", 4], [2, 4]), SHAPES, "net")


def test_an_input_that_is_not_there_is_named() -> None:
    with pytest.raises(ExportFailed, match="left its input z out"):
        check_dimensions(model_of(["a", 4], ["b", 4]), {**SHAPES, "z": (1,)}, "net")


def test_another_opset_is_refused() -> None:
    check_opset(model_of(["a", 4], ["b", 4]), 20)
    with pytest.raises(OpsetUnavailable, match="Opset 18 was asked for and torch gave opset 20"):
        check_opset(model_of(["a", 4], ["b", 4]), 18)


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LSTM(2, 2), nn.GRU(2, 2)


def test_a_recurrent_module_must_have_become_its_operator() -> None:
    nodes = [onnx_ir.node(name, [None]) for name in ("LSTM", "GRU")]
    refuse_unrolled(Two(), model_of(["a", 4], ["b", 4], *nodes), "net")
    with pytest.raises(UnrolledLoop, match="net's GRU"):
        refuse_unrolled(Two(), model_of(["a", 4], ["b", 4], onnx_ir.node("LSTM", [None])), "net")


def test_an_operator_inside_a_loop_or_a_function_counts() -> None:
    inner = onnx_ir.node("GRU", [None])
    body = onnx_ir.Graph([], inner.outputs, nodes=[inner], name="body")
    inside = onnx_ir.node("LSTM", [None])
    function = onnx_ir.Function(
        "made",
        "cell",
        graph=onnx_ir.Graph([], inside.outputs, nodes=[inside], opset_imports={"": 20}),
        attributes=[],
    )
    model = model_of(["a", 4], ["b", 4], onnx_ir.node("Loop", [None], {"body": body}))
    with pytest.raises(UnrolledLoop) as caught:
        refuse_unrolled(Two(), model, "net")
    assert caught.value.facts["operators"] == ["LSTM"]
    model.functions[function.identifier()] = function
    assert recurrent_operators(Two()) == {"GRU", "LSTM"}
    refuse_unrolled(Two(), model, "net")
