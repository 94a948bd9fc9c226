"""A BatchNormalization goes into the weights of the Conv or product before or behind it.

onnxruntime folds one that stands right behind a Conv. It doesn't look through what stands between,
and not at one that stands in front.

    before                                             after
    x ─ Conv ─ AveragePool ─ BatchNormalization ── y   x ─ Conv ─ AveragePool ── y
    x ─ MatMul ─ Add ─ Transpose ─ BatchNorm… ── y     x ─ MatMul ─ Add ─ Transpose ── y
    x ─ BatchNormalization ─ Conv ── y                 x ─ Conv ── y

The rule: its numbers are constants, it isn't training, and before it are weights that
`edgekit.optimize.channels` reaches. In front of a Conv only where that pads nothing, or nothing is
added: padding is 0 behind the normalization and another number in front of it.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgekit.optimize import graphs
from edgekit.optimize.channels import Line, conv_bias, into_weights_before, set_weights, take_out
from edgekit.optimize.pass_info import PassInfo


def apply(model: ir.Model) -> ir.Model | None:
    """Fold every BatchNormalization that has weights to go into."""
    norms = [n for n in model.graph if n.op_type == "BatchNormalization" and not n.domain]
    found = [_folded(model, norm) for norm in norms]
    return model if any(found) else None


PASS = PassInfo(
    name="batch-norm",
    summary="BatchNormalization goes into weights, also past pools and transposes, or forwards",
    apply=apply,
)


def _folded(model: ir.Model, norm: ir.Node) -> bool:
    line, value = _line(norm), norm.inputs[0]
    if line is None or value is None:
        return False
    if into_weights_before(model, value, line, axis=1) or _into_conv_behind(model, norm, line):
        take_out(norm, value)
        return True
    return False


def _line(norm: ir.Node) -> Line | None:
    arrays = [graphs.constant(value) for value in norm.inputs[1:]]
    if graphs.attribute(norm, "training_mode", default=0) or any(
        o.uses() for o in norm.outputs[1:]
    ):
        return None
    if len(arrays) != 4 or any(a is None or a.dtype != np.float32 for a in arrays):
        return None
    scale, bias, mean, variance = (np.asarray(a, np.float64) for a in arrays)
    factor = scale / np.sqrt(variance + graphs.attribute(norm, "epsilon", default=1e-5))
    return Line(factor, bias - mean * factor)


def _into_conv_behind(model: ir.Model, norm: ir.Node, line: Line) -> bool:
    conv = graphs.only_use(norm.outputs[0])
    if conv is None or conv.op_type != "Conv" or conv.domain:
        return False
    if conv.inputs[0] is not norm.outputs[0]:
        return False
    weight = graphs.constant(conv.inputs[1])
    if weight is None or weight.dtype != np.float32:
        return False
    bias = conv_bias(conv, len(weight))
    pads = any(graphs.attribute(conv, "pads", default=())) or graphs.attribute(
        conv, "auto_pad", default="NOTSET"
    ) not in ("NOTSET", "VALID")
    if bias is None or (pads and np.any(line.shift != 0)):
        return False
    groups = graphs.attribute(conv, "group", default=1)
    # Of a grouped Conv each output channel reads the input channels of its own group.
    ins = np.repeat(np.arange(groups), len(weight) // groups)[:, None] * weight.shape[1]
    channels = ins + np.arange(weight.shape[1])
    spread = (*channels.shape, *[1] * (weight.ndim - 2))
    moved = (weight * line.shift[channels].reshape(spread)).reshape(len(weight), -1).sum(axis=1)
    scaled = weight * line.factor[channels].reshape(spread)
    set_weights(model, conv, weight=scaled, bias=bias + moved)
    return True
