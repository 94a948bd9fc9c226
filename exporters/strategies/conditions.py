"""What a converted model must keep of what was asked: opset, dimensions, recurrent operators."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir
from torch import nn

from edgekit.errors import DimensionLost, ExportFailed, OpsetUnavailable, UnrolledLoop
from edgekit.tensors import Dim

_OPERATORS: dict[type[nn.Module], str] = {nn.RNN: "RNN", nn.LSTM: "LSTM", nn.GRU: "GRU"}


def check_opset(model: onnx_ir.Model, opset: int) -> None:
    """Raise OpsetUnavailable where another opset came out."""
    got = model.opset_imports.get("", 0)
    if got != opset:
        raise OpsetUnavailable(asked=opset, got=got)


def check_dimensions(
    model: onnx_ir.Model, shapes: Mapping[str, tuple[int | Dim, ...]], label: str
) -> None:
    """Compare the dimensions that came out with those asked for, names included.

    Raises:
        DimensionLost: one became static.
        ExportFailed: an input is missing, or two dimensions have become one.
    """
    asked_names = {dim.name for shape in shapes.values() for dim in shape if isinstance(dim, Dim)}
    found = {value.name: value for value in model.graph.inputs}
    for name, shape in shapes.items():
        value = found.get(name)
        if value is None or value.shape is None:
            raise ExportFailed(target=label, problem=f"torch left its input {name} out")
        for axis, dim in enumerate(shape):
            got = value.shape[axis]
            text = str(got) if isinstance(got, int) else str(got.value)
            if text == (dim.name if isinstance(dim, Dim) else str(dim)):
                continue
            if isinstance(dim, Dim) and text in asked_names:
                raise ExportFailed(
                    target=label,
                    problem=f"its code needs the dimensions {text} and {dim.name} to be equal",
                    workaround=f"Give axis {axis} of {name} the name {text} too.",
                )
            raise DimensionLost(tensor=name, axis=axis, asked=str(dim), got=text)


def recurrent_operators(module: nn.Module) -> set[str]:
    """Name the ONNX operators that a module's own RNNs, LSTMs and GRUs should become."""
    return {_OPERATORS[type(part)] for part in module.modules() if type(part) in _OPERATORS}


def refuse_unrolled(module: nn.Module, model: onnx_ir.Model, label: str) -> None:
    """Refuse a graph in which a recurrent module is a loop's steps and not its operator.

    The steps are slower, there are as many as the example had, and no runtime knows them for what
    they are.

    Raises:
        UnrolledLoop: an operator is missing.
    """
    graphs = [model.graph, *(function.graph for function in model.functions.values())]
    found = {
        node.op_type for graph in graphs for inner in (graph, *graph.subgraphs()) for node in inner
    }
    missing = sorted(recurrent_operators(module) - found)
    if missing:
        raise UnrolledLoop(target=label, operators=missing)


def coarse_types(model: onnx_ir.Model) -> list[str]:
    """Name the half-precision types that a graph computes in."""
    found = {
        output.dtype
        for graph in (model.graph, *model.graph.subgraphs())
        for node in graph
        for output in node.outputs
    }
    named = {onnx_ir.DataType.FLOAT16: "float16", onnx_ir.DataType.BFLOAT16: "bfloat16"}
    return [name for dtype, name in named.items() if dtype in found]


_ORDERING = {"ArgMax", "ArgMin", "NonZero", "TopK", "Unique"}


def orders(model: onnx_ir.Model) -> bool:
    """Tell whether a graph puts values in an order: which of two equal ones comes first is open."""
    graphs = [model.graph, *(function.graph for function in model.functions.values())]
    return any(
        node.op_type in _ORDERING
        for graph in graphs
        for inner in (graph, *graph.subgraphs())
        for node in inner
    )
