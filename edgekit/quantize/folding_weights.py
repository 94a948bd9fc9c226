"""Weights that a graph computes of other weights, worked out once.

Exporters put a recurrent node's weights together at run time, and turn a matrix that two nodes use:

    W_i, W_f, … ─▶ Slice ─▶ Concat ─▶ Unsqueeze ─▶ LSTM          ▶          W ─▶ LSTM
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from onnx import NodeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgekit.quantize.elements import captured
from edgekit.quantize.floats.halving import MOVES

_FOLDED = MOVES | {"Cast", "Constant", "Neg"}
"""Operators that only move or turn numbers."""

_GROW = frozenset({"Expand", "Pad", "Tile"})
"""Those of them that may give far more numbers than went in."""


def fold_weights(model: Any, wanted: Collection[str]) -> None:
    """Turn values into initializers, in place, where weights alone lead to them.

    What nothing needs any more goes.

    Args:
        model: with its weights loaded.
        wanted: the values, as far as they can be worked out.
    """
    graph = model.graph
    all_nodes = list(graph.node)
    made_by = {name: node for node in all_nodes for name in node.output if name}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    needed: dict[int, Any] = {}
    found = [name for name in dict.fromkeys(wanted) if name not in weights and name in made_by]
    found = [name for name in found if _collect(name, made_by, weights, needed)]
    if not found:
        return
    nodes = [node for node in all_nodes if id(node) in needed]
    sources = {name for node in nodes for name in node.input if name in weights}
    small = helper.make_graph(
        nodes,
        "weights",
        [],
        [helper.make_empty_tensor_value_info(name) for name in found],
        [weights[name] for name in weights if name in sources],
    )
    shell = helper.make_model(
        small, opset_imports=list(model.opset_import), ir_version=model.ir_version
    )
    evaluator = ReferenceEvaluator(shell)
    arrays: Any = evaluator.run(None, {})
    folded = set(found)
    for name, array in zip(found, arrays, strict=True):
        graph.initializer.append(numpy_helper.from_array(array, name))
    for node in graph.node:
        for index, name in enumerate(node.output):
            if name in folded:
                node.output[index] = ""
    drop_unused(graph)


def drop_unused(graph: Any) -> None:
    """Take out the nodes and weights that lead nowhere, in place.

    A weight that is an input as well is one no longer: a caller could give another.
    """
    used = {value.name for value in graph.output}
    kept: list[Any] = []
    for node in reversed(graph.node):
        if any(name in used for name in node.output if name):
            kept.append(NodeProto.FromString(node.SerializeToString()))
            used |= {*node.input, *captured(node)}
    if len(kept) < len(graph.node):
        del graph.node[:]
        graph.node.extend(reversed(kept))
    weights = {tensor.name for tensor in graph.initializer}
    _drop(graph.initializer, {name for name in weights if name not in used})
    _drop(graph.input, weights)


def _drop(repeated: Any, names: Collection[str]) -> None:
    for index in reversed(range(len(repeated))):
        if repeated[index].name in names:
            del repeated[index]


def _collect(
    name: str, made_by: dict[str, Any], weights: dict[str, Any], needed: dict[int, Any]
) -> bool:
    """Add the nodes that lead to a value, and tell whether they all may be folded."""
    waiting, met = [name], {}
    while waiting:
        value = waiting.pop()
        if not value or value in weights:
            continue
        node = made_by.get(value)
        if node is None or node.domain not in ("", "ai.onnx") or node.op_type in _GROW:
            return False
        if node.op_type not in _FOLDED:
            return False
        if id(node) not in met:
            met[id(node)] = node
            waiting += node.input
    needed.update(met)
    return True
