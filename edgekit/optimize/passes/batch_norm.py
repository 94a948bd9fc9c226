"""A BatchNormalization goes into the weights of the Conv or product before or behind it.

onnxruntime folds one that stands right behind a Conv. It doesn't look through what stands between,
and not at one that stands in front.

    before                                             after
    x ─ Conv ─ AveragePool ─ BatchNormalization ── y   x ─ Conv ─ AveragePool ── y
    x ─ MatMul ─ Add ─ Transpose ─ BatchNorm… ── y     x ─ MatMul ─ Add ─ Transpose ── y
    x ─ BatchNormalization ─ Conv ── y                 x ─ Conv ── y

The rule: its numbers are constants, it isn't training, and what lies between goes nowhere else and
leaves channels apart: a Transpose, a GlobalAveragePool, an AveragePool that pads nothing. In front
of a Conv only where that pads nothing, or nothing is added: padding is 0 behind the
normalization and another number in front of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from edgekit.optimize import graphs
from edgekit.optimize.pass_info import PassInfo
from edgekit.optimize.products import product_at

_MOST_BETWEEN = 4


def apply(model: ir.Model) -> ir.Model | None:
    """Fold every BatchNormalization that has weights to go into."""
    norms = [n for n in model.graph if n.op_type == "BatchNormalization" and not n.domain]
    found = [_into_weights_before(model, n) or _into_conv_behind(model, n) for n in norms]
    return model if any(found) else None


PASS = PassInfo(
    name="batch-norm",
    summary="BatchNormalization goes into weights, also past pools and transposes, or forwards",
    apply=apply,
)


def _line(norm: ir.Node) -> tuple[Any, Any] | None:
    """Give what a normalization multiplies each channel by and what it adds."""
    arrays = [graphs.constant(value) for value in norm.inputs[1:]]
    if graphs.attribute(norm, "training_mode", default=0) or any(
        o.uses() for o in norm.outputs[1:]
    ):
        return None
    if len(arrays) != 4 or any(a is None or a.dtype != np.float32 for a in arrays):
        return None
    scale, bias, mean, variance = (np.asarray(a, np.float64) for a in arrays)
    factor = scale / np.sqrt(variance + graphs.attribute(norm, "epsilon", default=1e-5))
    return factor, bias - mean * factor


def _into_weights_before(model: ir.Model, norm: ir.Node) -> bool:
    line = _line(norm)
    value, axis = norm.inputs[0], 1
    if line is None or value is None:
        return False
    for _ in range(_MOST_BETWEEN):
        node = value.producer() if value is not None else None
        if value is None or node is None or node.domain or graphs.only_use(value) is None:
            return False
        if node.op_type == "Conv":
            done = axis == 1 and _scale_conv(model, node, *line)
        elif node.op_type in ("Add", "MatMul"):
            done = axis == len(graphs.known_shape(value) or ()) - 1 and _scale_product(
                model, value, *line
            )
        elif node.op_type == "Transpose":
            permutation = graphs.attribute(node, "perm")
            if permutation is None:
                return False
            value, axis = node.inputs[0], int(permutation[axis])
            continue
        elif axis == 1 and _pools(node):
            value = node.inputs[0]
            continue
        else:
            return False
        if done:
            _take_out(norm)
        return done
    return False


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


def _scale_conv(model: ir.Model, conv: ir.Node, factor: Any, shift: Any) -> bool:
    weight = graphs.constant(conv.inputs[1])
    bias = _bias(conv)
    if weight is None or bias is None or weight.dtype != np.float32:
        return False
    if len(weight) != len(factor):
        return False
    scaled = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
    _set_weights(model, conv, scaled, bias * factor + shift)
    return True


def _scale_product(model: ir.Model, value: ir.Value, factor: Any, shift: Any) -> bool:
    product = product_at(value)
    if product is None or product.weight.shape[1] != len(factor):
        return False
    matmul, *added = product.nodes
    stem = f"{product.output.name}/normed"
    weight = (product.weight * factor).astype(np.float32)
    bias = (0 if product.bias is None else product.bias) * factor + shift
    matmul.replace_input_with(1, graphs.initializer(model.graph, f"{stem}.weight", weight))
    held = graphs.initializer(model.graph, f"{stem}.bias", bias.astype(np.float32))
    if added:
        at = 1 if added[0].inputs[0] is matmul.outputs[0] else 0
        added[0].replace_input_with(at, held)
        return True
    value = matmul.outputs[0]
    users = value.uses()
    node = graphs.new_node("Add", [value, held], name=f"{stem}/Add")
    assert matmul.graph is not None
    matmul.graph.insert_after(matmul, node)
    node.outputs[0].shape, node.outputs[0].type = value.shape, value.type
    for use in users:
        use.node.replace_input_with(use.idx, node.outputs[0])
    return True


def _into_conv_behind(model: ir.Model, norm: ir.Node) -> bool:
    line = _line(norm)
    conv = graphs.only_use(norm.outputs[0])
    if line is None or conv is None or conv.op_type != "Conv" or conv.domain:
        return False
    if conv.inputs[0] is not norm.outputs[0]:
        return False
    factor, shift = line
    weight, bias = graphs.constant(conv.inputs[1]), _bias(conv)
    if weight is None or bias is None or weight.dtype != np.float32:
        return False
    pads = any(graphs.attribute(conv, "pads", default=())) or graphs.attribute(
        conv, "auto_pad", default="NOTSET"
    ) not in ("NOTSET", "VALID")
    if pads and np.any(shift != 0):
        return False
    groups = graphs.attribute(conv, "group", default=1)
    # Of a grouped Conv each output channel reads the input channels of its own group.
    ins = np.repeat(np.arange(groups), len(weight) // groups)[:, None] * weight.shape[1]
    channels = ins + np.arange(weight.shape[1])
    spread = (*channels.shape, *[1] * (weight.ndim - 2))
    moved = (weight * shift[channels].reshape(spread)).reshape(len(weight), -1).sum(axis=1)
    _set_weights(model, conv, weight * factor[channels].reshape(spread), bias + moved)
    _take_out(norm)
    return True


def _bias(conv: ir.Node) -> Any | None:
    """Give a Conv's bias, zeros where it has none; None where it is computed."""
    weight = graphs.constant(conv.inputs[1])
    if len(conv.inputs) < 3 or conv.inputs[2] is None:
        return None if weight is None else np.zeros(len(weight), np.float32)
    return graphs.constant(conv.inputs[2])


def _set_weights(model: ir.Model, conv: ir.Node, weight: Any, bias: Any) -> None:
    stem = f"{conv.outputs[0].name}/normed"
    held = [
        graphs.initializer(model.graph, f"{stem}.{name}", array.astype(np.float32))
        for name, array in (("weight", weight), ("bias", bias))
    ]
    conv.resize_inputs(3)
    conv.replace_input_with(1, held[0])
    conv.replace_input_with(2, held[1])


def _take_out(norm: ir.Node) -> None:
    """Let what goes into a normalization be what came out of it."""
    value, output = norm.inputs[0], norm.outputs[0]
    assert value is not None
    if not output.is_graph_output():
        output.replace_all_uses_with(value)
        return
    node = graphs.new_node("Identity", [value], name=f"{output.name}/Same")
    graphs.put_in_place(output, [node], node.outputs[0])
