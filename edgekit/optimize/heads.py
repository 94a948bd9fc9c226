"""Queries, keys and values as columns of values, and where the heads come together again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgekit.optimize import graphs
from edgekit.optimize.masks import scaled
from edgekit.optimize.tracing import MOVING, Tracing

_MOST_MOVES = 12


@dataclass(frozen=True)
class Head:
    """Where q, k or v comes from: columns of a value, a scale, and the nodes on the way.

    `source` is [batch, steps, width].
    """

    source: ir.Value
    columns: slice
    heads: int
    scale: float
    nodes: tuple[ir.Node, ...]


def head_of(model: ir.Model, value: ir.Value | None, *, transposed: bool) -> Head | None:
    """Find out which columns of which value q, k or v is; `transposed` for kᵀ."""
    scale, nodes = 1.0, []
    start = value
    for _ in range(_MOST_MOVES):
        node = start.producer() if start is not None else None
        if node is None or node.domain:
            return None
        times = scaled(node)
        if times is not None:
            scale *= times[1]
            start = times[0]
        elif node.op_type in MOVING:
            start = node.inputs[0]
        else:
            break
        nodes.append(node)
    if value is None or start is None or start.dtype != graphs.FLOAT:
        return None
    if len(graphs.known_shape(start) or ()) != 3:
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
    return Head(start, slice(first, first + heads * size), heads, scale, tuple(nodes))


def joined(
    model: ir.Model, context: ir.Node, query: Head
) -> tuple[ir.Value, tuple[ir.Node, ...]] | None:
    """Go on from the weighted values to where the heads lie side by side [batch, steps, width]."""
    tracing = Tracing(model)
    batch, steps, _ = tracing.shape(query.source)
    columns = width(query)
    size = columns // query.heads
    numbers = np.arange(batch * steps * columns).reshape(batch, query.heads, steps, size)
    expected = numbers.transpose(0, 2, 1, 3).reshape(batch, steps, columns)
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


def columns_of(model: ir.Model, head: Head, *, stem: str) -> tuple[ir.Value, list[ir.Node]]:
    """Give q, k or v as [batch, steps, columns], and the node that cuts it out, where one must."""
    if width(head) == (graphs.known_shape(head.source) or ())[2]:
        return head.source, []
    first, behind, axis = (
        graphs.initializer(model.graph, f"{stem}.{name}", np.array([at], np.int64))
        for name, at in (("first", head.columns.start), ("behind", head.columns.stop), ("axis", 2))
    )
    node = graphs.new_node("Slice", [head.source, first, behind, axis], name=stem)
    return node.outputs[0], [node]


def width(head: Head) -> int:
    """Count the columns of a value that all heads together are."""
    return int(head.columns.stop) - int(head.columns.start)


def _leads_to(output: ir.Value, value: ir.Value, nodes: list[ir.Node]) -> bool:
    return output is value or any(use.node in nodes and use.idx == 0 for use in output.uses())
