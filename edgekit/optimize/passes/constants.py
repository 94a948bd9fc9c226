"""What doesn't depend on the inputs is computed now, the target of a Reshape included.

onnxruntime folds constants itself, but not a shape of which one size differs from call to call:
then it computes the target anew at each call, node by node, though a Reshape can say it with 0
(as it was) and -1 (the rest).

    before                                                      after
    x ─ Shape ─ Slice ─ Mul ─ Concat ─┐
    x ─ Transpose ────────────────── Reshape ── y               x ─ Transpose ─ Reshape ── y
                                                                [5, 0, -1] ────────┘

The rule: a node whose inputs are all constant is computed with ONNX's reference implementation,
unless it draws at random, holds graphs, turns numbers into integers or back, or makes much of
little. Integers that come out of sizes are worked out for two sets of sizes, and what is the same
for both is constant.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from edgekit.optimize import graphs
from edgekit.optimize.pass_info import PassInfo
from edgekit.optimize.tracing import Tracing, Unknown, computed

_LEFT_ALONE = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"}
    | {"RandomUniformLike", "Dropout", "QuantizeLinear", "DequantizeLinear"}
)
_GROWTH_BYTES = 1 << 20
"""What folding may add to the file, a node at a time."""


def apply(model: ir.Model) -> ir.Model | None:
    """Fold constants, sizes and Reshape targets."""
    found = _fold(model)
    for node in list(model.graph):
        if node.op_type == "Reshape" and not node.domain:
            found |= _say_target(model, node)
    return model if found else None


PASS = PassInfo(
    name="constants",
    summary="what doesn't depend on the inputs is computed now, Reshape's targets too",
    apply=apply,
)


def _fold(model: ir.Model) -> bool:
    small, large = Tracing(model), Tracing(model, large=True)
    opset = graphs.opset(model)
    found = False
    for node in list(model.graph):
        if (
            node.domain
            or node.op_type in _LEFT_ALONE
            or any(o.is_graph_output() for o in node.outputs)
        ):
            continue
        if any(a.type in _GRAPHS for a in node.attributes.values()):
            continue
        arrays = [graphs.constant(value) for value in node.inputs]
        if all(a is not None or v is None for a, v in zip(arrays, node.inputs, strict=True)):
            answers = _answers(node, arrays, opset)
        else:
            answers = _from_sizes(node, small, large)
        if answers is None:
            continue
        for output, answer in zip(node.outputs, answers, strict=True):
            folded = graphs.initializer(model.graph, f"{output.name}_folded", answer)
            output.replace_all_uses_with(folded)
        found = True
    return found


_GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)


def _answers(node: ir.Node, arrays: list[Any], opset: int) -> list[Any] | None:
    if not any(output.uses() for output in node.outputs) or not arrays:
        return None
    if any(a is not None and a.dtype.kind not in "fiub" for a in arrays):
        return None  # numbers that numpy lacks
    try:
        answers = computed(node, arrays, opset)
    except Exception:  # whatever the reference implementation lacks stays as it is
        return None
    before = sum(a.nbytes for a in arrays if a is not None)
    if not all(isinstance(a, np.ndarray) for a in answers):
        return None
    return answers if sum(a.nbytes for a in answers) <= before + _GROWTH_BYTES else None


def _from_sizes(node: ir.Node, small: Tracing, large: Tracing) -> list[Any] | None:
    """Give what a node makes of sizes where it is the same whatever they are."""
    if len(node.outputs) != 1 or node.outputs[0].dtype != ir.DataType.INT64:
        return None
    try:
        one, other = (t.integers(node.outputs[0]) for t in (small, large))
    except Unknown:
        return None
    return [np.asarray(one, np.int64)] if np.array_equal(one, other) else None


def _say_target(model: ir.Model, node: ir.Node) -> bool:
    """Write a Reshape's computed target as numbers, 0 for a size that stays and one -1."""
    data, target = node.inputs[0], node.inputs[1]
    if data is None or target is None or graphs.constant(target) is not None:
        return False
    tracings = (Tracing(model), Tracing(model, large=True))
    try:
        one, other = (t.integers(target) for t in tracings)
    except Unknown:
        return False
    if one.shape != other.shape:
        return False
    said: list[int] = []
    for axis, found in enumerate(zip(one.tolist(), other.tolist(), strict=True)):
        if found[0] == found[1] and found[0] > 0:
            said.append(found[0])
        else:
            said.append(0 if _sizes_along(data, axis, tracings) == found else -1)
    if said.count(-1) > 1:
        return False
    numbers = graphs.initializer(model.graph, f"{target.name}_said", np.array(said, np.int64))
    node.replace_input_with(1, numbers)
    node.attributes["allowzero"] = ir.AttrInt64("allowzero", 0)
    return True


def _sizes_along(
    data: ir.Value, axis: int, tracings: tuple[Tracing, Tracing]
) -> tuple[int, ...] | None:
    """Give both sizes of the data along an axis; None where they aren't known."""
    try:
        return tuple(tracing.shape(data)[axis] for tracing in tracings)
    except (Unknown, IndexError):
        return None
