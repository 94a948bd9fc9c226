"""Self-attention out of products, transposes and a Softmax becomes one node.

onnxruntime knows the forms that older exporters write. torch's dynamo exporter writes others: the
queries, keys and values lie in one product or in three, are moved about by Reshape, Transpose,
Slice, Split and Squeeze in many orders, and are scaled before or after they are multiplied.

    before                                        after
    x ── MatMul ─ Add ─ Reshape ─ Transpose ─ q
    x ── MatMul ─ Add ─ Reshape ─ Transpose ─ kᵀ   x ── Attention ── y
    x ── MatMul ─ Add ─ Reshape ─ Transpose ─ v    mask ──┘
    q @ kᵀ · scale + mask ─ Softmax ─ @ v ─ Transpose ─ Reshape ── y

The rule: q, k and v are columns of products of one x [batch, steps, width] and constant float32
weights; what lies between moves elements so that q[b, n, s, d] is column n·D + d of row s, and may
multiply by a constant; the mask, if any, is added, or takes the place of scores (Where) with a
number of at most -1e20; the Softmax is over the keys; nobody else takes what is computed on the
way. Where the elements go is found by sending their numbers through the nodes.

The weights go into the Attention node, so there is no product of fewer bits for them: quantize
the variant without this pass (`merge-products` is as good a parent for int8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from edgekit.optimize import graphs
from edgekit.optimize.pass_info import PassInfo
from edgekit.optimize.products import Product, product_at
from edgekit.optimize.tracing import MOVING, Tracing, Unknown

_HIDDEN = -1e20
"""What is put in the place of a score, or added to it, and hides it whatever the score is."""
_MOST_MOVES = 12
_FIRST_OPSET = 15
"""Before it Shape has no start and end."""


def apply(model: ir.Model) -> ir.Model | None:
    """Fuse every self-attention of a model."""
    if graphs.opset(model) < _FIRST_OPSET:
        return None
    masks: dict[tuple[Any, ...], ir.Value] = {}
    softmaxes = [node for node in model.graph if node.op_type == "Softmax" and not node.domain]
    found = [_fused(model, softmax, masks) for softmax in softmaxes]
    if not any(found):
        return None
    graphs.needs_microsoft(model)
    return model


PASS = PassInfo(
    name="attention",
    summary="self-attention as torch exports it becomes one Attention node",
    apply=apply,
)


@dataclass(frozen=True)
class _Mask:
    """What is added to the scores, or the condition and number of a Where in their place."""

    value: ir.Value
    fill: float | None = None
    where_true: bool = True


@dataclass(frozen=True)
class _Head:
    """Where q, k or v comes from: columns of a product, a scale, and the nodes on the way."""

    product: Product
    columns: slice
    heads: int
    scale: float
    nodes: tuple[ir.Node, ...]


def _fused(model: ir.Model, softmax: ir.Node, masks: dict[tuple[Any, ...], ir.Value]) -> bool:
    if graphs.attribute(softmax, "axis", default=-1) not in (-1, 3):
        return False
    context = graphs.only_use(softmax.outputs[0])
    if context is None or context.op_type != "MatMul" or context.inputs[0] != softmax.outputs[0]:
        return False
    scores = _scores(softmax.inputs[0])
    if scores is None:
        return False
    product, scale, mask, between = scores
    try:
        query = _head(model, product.inputs[0], transposed=False)
        key = _head(model, product.inputs[1], transposed=True)
        value = _head(model, context.inputs[1], transposed=False)
        if query is None or key is None or value is None:
            return False
        same = (
            query.product.x is key.product.x is value.product.x
            and query.heads == key.heads == value.heads
            and len({_width(one) for one in (query, key, value)}) == 1
            and value.scale == 1.0
        )
        if not same:
            return False
        joined = _joined(model, context, query)
    except Unknown:
        return False
    if joined is None:
        return False
    output, after = joined
    inside = {softmax, context, product, *between, *after}
    for head in (query, key, value):
        inside.update(head.nodes, head.product.nodes)
    if _seen_outside(inside, output):
        return False
    nodes: list[ir.Node] = []
    bias = None
    if mask is not None:
        bias = _mask_value(model, mask, query.product.x, masks, output)
    fused = graphs.new_node(
        "Attention",
        [
            query.product.x,
            _packed_weight(model, (query, key, value), output),
            _packed_bias(model, (query, key, value), output),
            *([None, None, bias] if bias is not None else []),
        ],
        attributes={"num_heads": query.heads, "scale": float(scale * query.scale * key.scale)},
        name=f"{output.name}/Attention",
        domain=graphs.MICROSOFT,
    )
    nodes.append(fused)
    graphs.put_in_place(output, nodes, fused.outputs[0])
    return True


def _scores(
    value: ir.Value | None,
) -> tuple[ir.Node, float, _Mask | None, tuple[ir.Node, ...]] | None:
    """Go back from what the Softmax takes to the product of queries and keys."""
    scale, mask = 1.0, None
    between: list[ir.Node] = []
    for _ in range(4):
        node = value.producer() if value is not None else None
        if node is None or node.domain or graphs.only_use(node.outputs[0]) is None:
            return None
        if node.op_type == "MatMul":
            return node, scale, mask, tuple(between)
        between.append(node)
        scaled = _scaled(node)
        if scaled is not None:
            value, factor = scaled
            scale *= factor
            continue
        if mask is not None or scale != 1.0:
            return None  # a mask that is scaled, or a second one
        masked = _masked(node)
        if masked is None:
            return None
        value, mask = masked
    return None


def _scaled(node: ir.Node) -> tuple[ir.Value | None, float] | None:
    """Read a node as a multiplication by one constant number."""
    if node.op_type == "Mul":
        for one, other in ((0, 1), (1, 0)):
            if (factor := graphs.scalar(node.inputs[other])) is not None:
                return node.inputs[one], factor
    if node.op_type == "Div" and (divisor := graphs.scalar(node.inputs[1])):
        return node.inputs[0], 1.0 / divisor
    return None


def _masked(node: ir.Node) -> tuple[ir.Value | None, _Mask] | None:
    """Read a node as scores with some of them hidden."""
    if node.op_type == "Where":
        condition = node.inputs[0]
        assert condition is not None
        for scores, filled in ((1, 2), (2, 1)):
            fill = graphs.scalar(node.inputs[filled])
            if fill is not None and fill <= _HIDDEN:
                return node.inputs[scores], _Mask(condition, fill, where_true=filled == 1)
        return None
    if node.op_type != "Add":
        return None
    for scores, added in ((0, 1), (1, 0)):
        mask = node.inputs[added]
        if mask is not None and _from_product(node.inputs[scores]):
            return node.inputs[scores], _Mask(mask)
    return None


def _from_product(value: ir.Value | None) -> bool:
    """Tell whether a value is a product of two computed ones, scaled or not."""
    node = value.producer() if value is not None else None
    while node is not None and (scaled := _scaled(node)) is not None:
        node = scaled[0].producer() if scaled[0] is not None else None
    return node is not None and node.op_type == "MatMul"


def _head(model: ir.Model, value: ir.Value | None, *, transposed: bool) -> _Head | None:
    """Find out which columns of which product q, k or v is; `transposed` for kᵀ."""
    scale, nodes = 1.0, []
    start = value
    for _ in range(_MOST_MOVES):
        node = start.producer() if start is not None else None
        if node is None or node.domain:
            return None
        scaled = _scaled(node)
        if scaled is not None:
            scale *= scaled[1]
            start = scaled[0]
        elif node.op_type in MOVING:
            start = node.inputs[0]
        else:
            break
        nodes.append(node)
    product = product_at(start)
    if (
        value is None
        or start is None
        or product is None
        or len(graphs.known_shape(start) or ()) != 3
    ):
        return None
    tracing = Tracing(model)
    numbers = tracing.numbered(start)
    moved = numbers
    for node in reversed(nodes):
        if node.op_type in MOVING:
            output = next(o for o in node.outputs if _leads_to(o, value, nodes))
            moved = tracing.follow([node], output)
        else:
            tracing.see(node.outputs[0], moved)
    if transposed:
        moved = np.swapaxes(moved, -1, -2)
    batch, steps, _ = numbers.shape
    if moved.ndim == 3 and moved.shape[0] % batch == 0:
        moved = moved.reshape(batch, -1, *moved.shape[1:])
    if moved.ndim != 4 or moved.shape[2] != steps:
        return None
    heads, size = moved.shape[1], moved.shape[3]
    first = int(moved[0, 0, 0, 0])
    columns = numbers[:, :, first : first + heads * size]
    expected = columns.reshape(batch, steps, heads, size).transpose(0, 2, 1, 3)
    if columns.shape[2] != heads * size or not np.array_equal(moved, expected):
        return None
    return _Head(product, slice(first, first + heads * size), heads, scale, tuple(nodes))


def _leads_to(output: ir.Value, value: ir.Value, nodes: list[ir.Node]) -> bool:
    return output is value or any(use.node in nodes and use.idx == 0 for use in output.uses())


def _joined(
    model: ir.Model, context: ir.Node, query: _Head
) -> tuple[ir.Value, tuple[ir.Node, ...]] | None:
    """Go on from the weighted values to where the heads lie side by side [batch, steps, width]."""
    tracing = Tracing(model)
    batch, steps, _ = tracing.shape(query.product.output)
    width = _width(query)
    size = width // query.heads
    numbers = np.arange(batch * steps * width).reshape(batch, query.heads, steps, size)
    expected = numbers.transpose(0, 2, 1, 3).reshape(batch, steps, width)
    rank = len(graphs.known_shape(context.outputs[0]) or numbers.shape)
    value = context.outputs[0]
    tracing.see(value, numbers.reshape(-1, steps, size) if rank == 3 else numbers)
    after: list[ir.Node] = []
    while len(after) < _MOST_MOVES:
        node = graphs.only_use(value)
        if node is None or node.op_type not in MOVING or node.inputs[0] is not value:
            return None
        after.append(node)
        value = node.outputs[0]
        if np.array_equal(tracing.follow([node], value), expected):
            return value, tuple(after)
    return None


def _seen_outside(inside: set[ir.Node], output: ir.Value) -> bool:
    """Tell whether what is computed on the way is used elsewhere, but for its shape."""
    return any(
        value is not output
        and (
            value.is_graph_output()
            or any(user not in inside and user.op_type != "Shape" for user in value.consumers())
        )
        for node in inside
        for value in node.outputs
    )


def _width(head: _Head) -> int:
    return int(head.columns.stop) - int(head.columns.start)


def _packed_weight(model: ir.Model, heads: tuple[_Head, ...], output: ir.Value) -> ir.Value:
    packed = np.concatenate([head.product.weight[:, head.columns] for head in heads], axis=1)
    return graphs.initializer(model.graph, f"{output.name}.qkv_weight", packed)


def _packed_bias(model: ir.Model, heads: tuple[_Head, ...], output: ir.Value) -> ir.Value:
    parts = [
        np.zeros(_width(head), np.float32)
        if head.product.bias is None
        else head.product.bias[head.columns]
        for head in heads
    ]
    return graphs.initializer(model.graph, f"{output.name}.qkv_bias", np.concatenate(parts))


def _mask_value(
    model: ir.Model,
    mask: _Mask,
    x: ir.Value,
    masks: dict[tuple[Any, ...], ir.Value],
    output: ir.Value,
) -> ir.Value:
    """Give the mask as numbers to add, [batch or 1, heads or 1, steps, steps], made once for all.

    The kernel repeats it along its first two axes, and not along the others.
    """
    key = (mask.value, mask.fill, mask.where_true, graphs.known_shape(x))
    if key in masks:
        return masks[key]
    graph, stem = model.graph, f"{output.name}/mask"
    nodes: list[ir.Node] = []
    added = mask.value
    if mask.fill is not None:
        zero = graphs.initializer(graph, f"{stem}.zero", np.float32(0))
        fill = graphs.initializer(graph, f"{stem}.fill", np.float32(mask.fill))
        chosen = (fill, zero) if mask.where_true else (zero, fill)
        nodes.append(graphs.new_node("Where", [mask.value, *chosen], name=f"{stem}/Where"))
        added = nodes[-1].outputs[0]
    one = graphs.initializer(graph, f"{stem}.one", np.array([1, 1], np.int64))
    steps = graphs.new_node("Shape", [x], attributes={"start": 1, "end": 2}, name=f"{stem}/Shape")
    sizes = graphs.new_node(
        "Concat",
        [one, steps.outputs[0], steps.outputs[0]],
        attributes={"axis": 0},
        name=f"{stem}/Concat",
    )
    nodes += [steps, sizes]
    nodes.append(graphs.new_node("Expand", [added, sizes.outputs[0]], name=f"{stem}/Expand"))
    producer = output.producer()
    assert producer is not None
    graph.insert_before(producer, nodes)
    masks[key] = nodes[-1].outputs[0]
    return masks[key]
