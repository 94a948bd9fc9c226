"""Attention out of products, transposes and a Softmax becomes one node.

onnxruntime knows the forms that older exporters write. torch's dynamo exporter writes others: the
queries, keys and values lie in one product or in three, are moved about by Reshape, Transpose,
Slice, Split and Squeeze in many orders, and are scaled before or after they are multiplied.

    before                                        after
    x ── MatMul ─ Add ─ Reshape ─ Transpose ─ q    x ── MatMul ─ Add ─┐
    x ── MatMul ─ Add ─ Reshape ─ Transpose ─ kᵀ   x ── MatMul ─ Add ── MultiHeadAttention ── y
    x ── MatMul ─ Add ─ Reshape ─ Transpose ─ v    x ── MatMul ─ Add ─┘      mask ──┘
    q @ kᵀ · scale + mask ─ Softmax ─ @ v ─ Transpose ─ Reshape ── y

The rule: q, k and v are columns of float32 values [batch, steps, width]; what lies between moves
elements so that q[b, n, s, d] is column n·D + d of row s, and may multiply by a constant; k and v
have the same steps, and the queries may have others; the mask, if any, is added, or takes the place
of scores (Where) with a number of at most -1e20; the Softmax is over the keys; nobody else takes
what is computed on the way. Where the elements go is found by sending their numbers through the
nodes.

The products stay as they are, so that `edgekit quantize` gives them fewer bits.
"""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from edgekit.optimize import graphs
from edgekit.optimize.heads import Head, columns_of, head_of, joined, width
from edgekit.optimize.masks import Mask, mask_value, masked, scaled
from edgekit.optimize.pass_info import PassInfo
from edgekit.optimize.tracing import Unknown

_FIRST_OPSET = 15
"""Before it Shape has no start and end."""


def apply(model: ir.Model) -> ir.Model | None:
    """Fuse every attention of a model."""
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
    summary="attention as torch exports it becomes one MultiHeadAttention node",
    apply=apply,
)


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
        query = head_of(model, product.inputs[0], transposed=False)
        key = head_of(model, product.inputs[1], transposed=True)
        value = head_of(model, context.inputs[1], transposed=False)
        if query is None or key is None or value is None:
            return False
        if not _fit(query, key, value):
            return False
        together = joined(model, context, query)
    except Unknown:
        return False
    if together is None:
        return False
    output, after = together
    inside = {softmax, context, product, *between, *after}
    for head in (query, key, value):
        inside.update(head.nodes)
    if _seen_outside(inside, output):
        return False
    bias = None
    if mask is not None:
        bias = mask_value(
            model, mask, queries=query.source, keys=key.source, masks=masks, output=output
        )
    nodes: list[ir.Node] = []
    taken: list[ir.Value | None] = []
    for letter, head in zip("qkv", (query, key, value), strict=True):
        columns, cut = columns_of(model, head, stem=f"{output.name}/{letter}")
        taken.append(columns)
        nodes += cut
    fused = graphs.new_node(
        "MultiHeadAttention",
        [*taken, *([None, None, bias] if bias is not None else [])],
        attributes={"num_heads": query.heads, "scale": float(scale * query.scale * key.scale)},
        name=f"{output.name}/MultiHeadAttention",
        domain=graphs.MICROSOFT,
    )
    nodes.append(fused)
    graphs.put_in_place(output, nodes, fused.outputs[0])
    return True


def _fit(query: Head, key: Head, value: Head) -> bool:
    """Tell whether three are heads of one attention."""
    shapes = [graphs.known_shape(head.source) or () for head in (query, key, value)]
    return (
        query.heads == key.heads == value.heads
        and width(query) == width(key) == width(value)
        and value.scale == 1.0
        and shapes[0][0] == shapes[1][0]
        and shapes[1][:2] == shapes[2][:2]
    )


def _scores(
    value: ir.Value | None,
) -> tuple[ir.Node, float, Mask | None, tuple[ir.Node, ...]] | None:
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
        times = scaled(node)
        if times is not None:
            value, factor = times
            scale *= factor
            continue
        if mask is not None or scale != 1.0:
            return None  # a mask that is scaled, or a second one
        hidden = masked(node)
        if hidden is None:
            return None
        value, mask = hidden
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
