"""Layer normalization out of means, squares and a root becomes one node, over any one axis.

onnxruntime knows it over the last axis, divided by the root. Networks that work on images
normalize over the channels, which lie first, and that takes seven passes over the image; with the
channels brought to the end it takes three.

    before                                             after
    x ─┬─ ReduceMean ─┐                                x ─ Transpose ─ LayerNormalization
       └───────────── Sub ─┬─ Pow(2) ─ ReduceMean        ─ Transpose ── y
                           │    ─ Add(ε) ─ Sqrt ─┐
                           └──────────────────── Div ─ Mul(scale) ─ Add(bias) ── y

The rule: both means are over the same one axis, the last or the second, and keep it; the root
divides, or its reciprocal multiplies; scale and bias are constants along that axis alone; float32;
what is computed on the way goes nowhere else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from edgekit.optimize import graphs
from edgekit.optimize.pass_info import PassInfo

_LARGEST_EPSILON = 1e-2
_FIRST_OPSET = 17


def apply(model: ir.Model) -> ir.Model | None:
    """Fuse every layer normalization."""
    if graphs.opset(model) < _FIRST_OPSET:
        return None
    roots = [node for node in model.graph if node.op_type == "Sqrt" and not node.domain]
    found = [_fused(model, root) for root in roots]
    return model if any(found) else None


PASS = PassInfo(
    name="layer-norm",
    summary="layer normalization, written out over any one axis, becomes one node",
    apply=apply,
)


def _fused(model: ir.Model, root: ir.Node) -> bool:
    shifted = graphs.made_by(root.inputs[0], "Add")
    epsilon = graphs.scalar(shifted.inputs[1]) if shifted is not None else None
    if shifted is None or epsilon is None or not 0 < epsilon < _LARGEST_EPSILON:
        return False
    variance = graphs.made_by(shifted.inputs[0], "ReduceMean")
    squared = variance.inputs[0] if variance is not None else None
    centred = _squared(squared)
    sub = graphs.made_by(centred, "Sub")
    if variance is None or centred is None or sub is None or squared is None:
        return False
    x, mean = sub.inputs[0], graphs.made_by(sub.inputs[1], "ReduceMean")
    shape = graphs.known_shape(x)
    if x is None or mean is None or mean.inputs[0] is not x or shape is None:
        return False
    axis = _axis(mean, len(shape))
    if axis is None or axis != _axis(variance, len(shape)) or axis not in (1, len(shape) - 1):
        return False
    width = shape[axis]
    if x.dtype != graphs.FLOAT or not isinstance(width, int):
        return False
    divided = _divided(root, centred)
    if divided is None:
        return False
    output, inside = divided
    square = squared.producer()
    assert square is not None
    inside |= {root, shifted, variance, square, sub, mean}
    scale, bias = np.ones(width, np.float32), np.zeros(width, np.float32)
    if (found := _along(output, "Mul", shape, axis)) is not None:
        output, scale, node = found
        inside.add(node)
    if (found := _along(output, "Add", shape, axis)) is not None:
        output, bias, node = found
        inside.add(node)
    if not _alone(inside, output):
        return False
    _replace(model, x, output, axis, epsilon, (scale, bias))
    return True


def _squared(value: ir.Value | None) -> ir.Value | None:
    power = graphs.made_by(value, "Pow")
    if power is not None:
        return power.inputs[0] if graphs.scalar(power.inputs[1]) == 2.0 else None
    product = graphs.made_by(value, "Mul")
    if product is not None and product.inputs[0] is product.inputs[1]:
        return product.inputs[0]
    return None


def _axis(mean: ir.Node, rank: int) -> int | None:
    """Give the one axis that a mean is over and keeps."""
    axes = graphs.reduced_axes(mean, rank=rank)
    return axes[0] if axes is not None and len(axes) == 1 else None


def _divided(root: ir.Node, centred: ir.Value) -> tuple[ir.Value, set[ir.Node]] | None:
    """Find where what is centred is divided by the root."""
    user = graphs.only_use(root.outputs[0])
    if user is None or user.domain:
        return None
    if user.op_type == "Div" and user.inputs[0] is centred:
        return user.outputs[0], {user}
    if user.op_type == "Reciprocal":
        product = graphs.only_use(user.outputs[0])
        if product is not None and product.op_type == "Mul" and centred in product.inputs:
            return product.outputs[0], {user, product}
    return None


def _along(
    value: ir.Value, operator: str, shape: tuple[Any, ...], axis: int
) -> tuple[ir.Value, Any, ir.Node] | None:
    """Read what comes next as an operator with a constant that differs along one axis alone."""
    user = graphs.only_use(value)
    if user is None or user.op_type != operator or user.domain:
        return None
    other = user.inputs[1] if user.inputs[0] is value else user.inputs[0]
    array = graphs.constant(other)
    if array is None or array.dtype != np.float32 or array.ndim > len(shape):
        return None
    sizes = (1,) * (len(shape) - array.ndim) + array.shape
    if any(size != (shape[axis] if at == axis else 1) for at, size in enumerate(sizes)):
        return None
    return user.outputs[0], array.reshape(-1), user


def _alone(inside: set[ir.Node], output: ir.Value) -> bool:
    return all(
        value is output
        or (not value.is_graph_output() and all(user in inside for user in value.consumers()))
        for node in inside
        for value in node.outputs
    )


def _replace(
    model: ir.Model,
    x: ir.Value,
    output: ir.Value,
    axis: int,
    epsilon: float,
    vectors: tuple[Any, Any],
) -> None:
    rank = len(x.shape or ())
    stem = f"{output.name}/LayerNorm"
    scale, bias = (
        graphs.initializer(model.graph, f"{stem}.{name}", array)
        for name, array in zip(("scale", "bias"), vectors, strict=True)
    )
    there = [0, *range(2, rank), 1]
    back = [0, rank - 1, *range(1, rank - 1)]
    nodes: list[ir.Node] = []
    moved = axis != rank - 1
    if moved:
        nodes.append(
            graphs.new_node("Transpose", [x], attributes={"perm": there}, name=f"{stem}/Last")
        )
    source = nodes[-1].outputs[0] if moved else x
    nodes.append(
        graphs.new_node(
            "LayerNormalization",
            [source, scale, bias],
            attributes={"axis": -1, "epsilon": float(epsilon)},
            name=stem,
        )
    )
    if moved:
        normed = nodes[-1].outputs[0]
        nodes.append(
            graphs.new_node("Transpose", [normed], attributes={"perm": back}, name=f"{stem}/Back")
        )
    graphs.put_in_place(output, nodes, nodes[-1].outputs[0])
