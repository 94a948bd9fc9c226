"""A constant scale of channels, or a shift of them, goes into the weights before it.

Transformers and ConvNeXt multiply what a block adds by one learned number a channel (LayerScale,
Touvron et al. 2021), others by one number for all. onnxruntime takes that into a Conv right before
it, and not into a product with a bias, nor past a Transpose: there it is a pass over all values.

    before                                         after
    x ─ MatMul(w) ─ Add(b) ─ Mul(g) ── y           x ─ MatMul(w · g) ─ Add(b · g) ── y
    x ─ MatMul ─ Add ─ Transpose ─ Mul(g) ── y     x ─ MatMul ─ Add ─ Transpose ── y
    x ─ Conv(w, b) ─ Div(g) ─ Add(h) ── y          x ─ Conv(w / g, b / g + h) ── y

The rule: Mul or Div by a constant, Add or Sub of one, in float32; it has one number a channel, or
one in all; before it are weights that `edgekit.optimize.channels` reaches. A MatMul takes in what
is added where it has a bias already. One number that is added to all channels stays: it may be a
part of a HardSigmoid.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgekit.optimize import graphs
from edgekit.optimize.channels import Line, into_weights_before, take_out
from edgekit.optimize.pass_info import PassInfo

_OPERATORS = frozenset({"Add", "Div", "Mul", "Sub"})


def apply(model: ir.Model) -> ir.Model | None:
    """Fold every scale and shift that has weights to go into."""
    nodes = [node for node in model.graph if node.op_type in _OPERATORS and not node.domain]
    found = [_folded(model, node) for node in nodes]
    return model if any(found) else None


PASS = PassInfo(
    name="scales",
    summary="a constant scale of channels goes into the weights before it, LayerScale for one",
    apply=apply,
)


def _folded(model: ir.Model, node: ir.Node) -> bool:
    for value, other in (node.inputs, reversed(node.inputs)):
        found = _line(node, value, other)
        if value is not None and found is not None:
            line, axis = found
            done = into_weights_before(model, value, line, axis=axis)
            if done:
                take_out(node, value)
            return done
    return False


def _line(
    node: ir.Node, value: ir.Value | None, other: ir.Value | None
) -> tuple[Line, int | None] | None:
    """Read a node as a line of a value, and give the axis along which its numbers differ."""
    shape, array = graphs.known_shape(value), graphs.constant(other)
    if array is None or array.dtype != np.float32 or shape is None or array.ndim > len(shape):
        return None
    axes = [len(shape) - array.ndim + at for at, size in enumerate(array.shape) if size != 1]
    numbers = array.astype(np.float64).reshape(-1)
    if len(axes) > 1 or array.size == 0:
        return None
    one, none = np.ones(1), np.zeros(1)
    first = node.inputs[0] is value
    match node.op_type:
        case "Mul":
            line = Line(numbers, none)
        case "Div" if first and numbers.all():
            line = Line(1 / numbers, none)
        case "Add" if axes:
            line = Line(one, numbers)
        case "Sub" if axes and first:
            line = Line(one, -numbers)
        case "Sub" if axes:
            line = Line(-one, numbers)
        case _:
            return None
    return line, axes[0] if axes else None
