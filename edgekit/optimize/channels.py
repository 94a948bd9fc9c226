"""What each channel is multiplied by, and what is added to it, goes into the weights before it.

    before                                                  after
    x ─ Conv(w, b) ─ Transpose ─ · factor + shift ── y      x ─ Conv(w', b') ─ Transpose ── y
    x ─ MatMul(w) ─ Add(b) ─ · factor + shift ── y          x ─ MatMul(w') ─ Add(b') ── y

    w' = w · factor,   b' = b · factor + shift        an output channel each

The rule: weights are constants in float32; what lies between goes nowhere else and leaves channels
apart: a Transpose, a GlobalAveragePool, an AveragePool that pads nothing. The matrix of a product
is read by that alone: a copy of a table that embeds words as well would double the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from edgekit.optimize import graphs
from edgekit.optimize.products import product_at

_MOST_BETWEEN = 4


@dataclass(frozen=True)
class Line:
    """x · factor + shift: both float64 [channels], or [1] where all channels share one number."""

    factor: Any
    shift: Any


def into_weights_before(
    model: ir.Model, value: ir.Value | None, line: Line, *, axis: int | None
) -> bool:
    """Change the weights that make a value so that it comes out as a line of what it was.

    Args:
        model: the model, edited in place.
        value: what is multiplied and added to, by one node alone.
        line: by what.
        axis: that of the value's channels; None where all channels share one number.

    Returns:
        Whether there are such weights; nothing is changed where there aren't.
    """
    for _ in range(_MOST_BETWEEN):
        node = value.producer() if value is not None else None
        if value is None or node is None or node.domain or graphs.only_use(value) is None:
            return False
        match node.op_type:
            case "Conv" | "ConvTranspose":
                return axis in (None, 1) and _into_conv(model, node, line)
            case "Gemm":
                return axis in (None, 1) and _into_gemm(model, node, line)
            case "Add" | "MatMul":
                last = len(graphs.known_shape(value) or ()) - 1
                return axis in (None, last) and _into_product(model, value, line)
            case "Transpose":
                permutation = graphs.attribute(node, "perm")
                if permutation is None:
                    return False
                axis = None if axis is None else int(permutation[axis])
            case _:
                if axis not in (None, 1) or not _pools(node):
                    return False
        value = node.inputs[0]
    return False


def take_out(node: ir.Node, value: ir.Value) -> None:
    """Let what goes into a node be what came out of it."""
    output = node.outputs[0]
    if output.is_graph_output():
        same = graphs.new_node("Identity", [value], name=f"{output.name}/Same")
        graphs.put_in_place(output, [same], same.outputs[0])
    else:
        output.replace_all_uses_with(value)
    assert node.graph is not None
    node.graph.remove(node, safe=True)  # else it would still be one that reads the value


def conv_bias(conv: ir.Node, channels: int) -> Any | None:
    """Give a Conv's bias, zeros where it has none; None where it is computed."""
    if len(conv.inputs) < 3 or conv.inputs[2] is None:
        return np.zeros(channels, np.float32)
    return graphs.constant(conv.inputs[2])


def set_weights(model: ir.Model, node: ir.Node, *, weight: Any, bias: Any) -> None:
    """Give a Conv or Gemm another weight and bias, which become float32.

    Where it has no bias it gets none of zeros.
    """
    stem = f"{node.outputs[0].name}/scaled"
    held = graphs.initializer(model.graph, f"{stem}.weight", weight.astype(np.float32))
    node.replace_input_with(1, held)
    if bias.any() or (len(node.inputs) > 2 and node.inputs[2] is not None):
        node.resize_inputs(3)
        held = graphs.initializer(model.graph, f"{stem}.bias", bias.astype(np.float32))
        node.replace_input_with(2, held)


def _pools(node: ir.Node) -> bool:
    """Tell whether a node averages within channels, of real values alone."""
    if node.op_type == "GlobalAveragePool":
        return True
    unpadded = not any(graphs.attribute(node, "pads", default=())) and graphs.attribute(
        node, "auto_pad", default="NOTSET"
    ) in ("NOTSET", "VALID")
    return (
        node.op_type == "AveragePool"
        and unpadded
        and not graphs.attribute(node, "ceil_mode", default=0)
    )


def _into_conv(model: ir.Model, conv: ir.Node, line: Line) -> bool:
    weight = graphs.constant(conv.inputs[1])
    if weight is None or weight.dtype != np.float32:
        return False
    groups = graphs.attribute(conv, "group", default=1) if conv.op_type == "ConvTranspose" else 1
    channels = weight.shape[1] * groups if conv.op_type == "ConvTranspose" else len(weight)
    bias, factor = conv_bias(conv, channels), _spread(line.factor, channels)
    if bias is None or factor is None or len(line.shift) not in (1, channels):
        return False
    spatial = [1] * (weight.ndim - 2)
    if conv.op_type == "Conv":
        along = factor.reshape(-1, 1, *spatial)
    else:
        # Its weight has a row for each channel that goes in, and each group's own come out of it.
        rows = np.repeat(factor.reshape(groups, -1), len(weight) // groups, axis=0)
        along = rows.reshape(*weight.shape[:2], *spatial)
    set_weights(model, conv, weight=weight * along, bias=bias * factor + line.shift)
    return True


def _into_gemm(model: ir.Model, gemm: ir.Node, line: Line) -> bool:
    weight = _own_matrix(gemm)
    if weight is None:
        return False
    turned = graphs.attribute(gemm, "transB", default=0)
    columns = len(weight) if turned else weight.shape[1]
    bias, factor = conv_bias(gemm, columns), _spread(line.factor, columns)
    beta = graphs.attribute(gemm, "beta", default=1.0)
    if bias is None or factor is None or beta == 0 or len(line.shift) not in (1, columns):
        return False
    if bias.size not in (1, columns) or bias.size != (bias.shape or (1,))[-1]:
        return False  # a row of its own for each row of the answer
    scaled = weight * (factor[:, None] if turned else factor)
    set_weights(model, gemm, weight=scaled, bias=bias.reshape(-1) * factor + line.shift / beta)
    return True


def _into_product(model: ir.Model, value: ir.Value, line: Line) -> bool:
    product = product_at(value)
    if product is None or _own_matrix(product.nodes[0]) is None:
        return False
    if product.bias is None and np.all(line.factor == 1):
        return False  # what is added is its bias
    columns = product.weight.shape[1]
    factor, shift = _spread(line.factor, columns), _spread(line.shift, columns)
    if factor is None or shift is None:
        return False
    matmul, *added = product.nodes
    stem = f"{product.output.name}/scaled"
    weight = (product.weight * factor).astype(np.float32)
    matmul.replace_input_with(1, graphs.initializer(model.graph, f"{stem}.weight", weight))
    bias = (0 if product.bias is None else product.bias) * factor + shift
    if not added and not bias.any():
        return True
    held = graphs.initializer(model.graph, f"{stem}.bias", bias.astype(np.float32))
    if added:
        at = 1 if added[0].inputs[0] is matmul.outputs[0] else 0
        added[0].replace_input_with(at, held)
        return True
    made = matmul.outputs[0]
    users = made.uses()
    node = graphs.new_node("Add", [made, held], name=f"{stem}/Add")
    assert matmul.graph is not None
    matmul.graph.insert_after(matmul, node)
    node.outputs[0].shape, node.outputs[0].type = made.shape, made.type
    for use in users:
        use.node.replace_input_with(use.idx, node.outputs[0])
    return True


def _own_matrix(node: ir.Node) -> Any | None:
    """Give the constant matrix of a product that nothing else reads."""
    held = node.inputs[1]
    weight = graphs.constant(held)
    if held is None or weight is None or weight.dtype != np.float32 or weight.ndim != 2:
        return None
    return weight if graphs.only_use(held) is node else None


def _spread(numbers: Any, channels: int) -> Any | None:
    """Give one number a channel; None where there are as many as other channels have."""
    return np.broadcast_to(numbers, (channels,)) if len(numbers) in (1, channels) else None
