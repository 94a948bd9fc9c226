"""Which outputs of a graph are drawn at random."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir

_DRAWS = {
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
}
_SHAPES = {"Shape", "Size"}
"""What is the same whatever was drawn."""
_TRAINING_MODE = 2
"""Which input of a Dropout switches it on."""


def drawn_outputs(model: onnx_ir.Model) -> frozenset[str]:
    """Name the outputs that depend on a node which draws random numbers.

    An output may be drawn and seldom show it: x + (rand(1) < 0.02) is x in most calls.
    """
    functions = {
        identifier
        for identifier, function in model.functions.items()
        if any(map(_draws, function.all_nodes()))
    }
    tainted: set[onnx_ir.Value] = set()
    for node in model.graph:
        inside = [node, *(n for graph in _graphs(node) for n in graph.all_nodes())]
        if node.op_type in _SHAPES and node.domain in ("", "ai.onnx"):
            continue
        if any(
            _draws(n)
            or n.op_identifier() in functions
            or any(value in tainted for value in n.inputs if value is not None)
            for n in inside
        ):
            tainted.update(node.outputs)
    return frozenset(
        value.name for value in model.graph.outputs if value in tainted and value.name is not None
    )


def _graphs(node: onnx_ir.Node) -> Iterator[onnx_ir.Graph]:
    for attribute in node.attributes.values():
        if attribute.type == onnx_ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type == onnx_ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()


def _draws(node: onnx_ir.Node) -> bool:
    if node.op_type == "Dropout":
        mode = node.inputs[_TRAINING_MODE] if len(node.inputs) > _TRAINING_MODE else None
        training = None if mode is None else onnx_ir.convenience.get_const_tensor(mode)
        return mode is not None and (training is None or bool(training.numpy().all()))
    return node.op_type in _DRAWS and node.domain in ("", "ai.onnx")
