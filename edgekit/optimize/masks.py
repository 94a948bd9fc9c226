"""Scores of an attention that are scaled, or of which some are hidden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from edgekit.optimize import graphs

_HIDDEN = -1e20
"""What is put in the place of a score, or added to it, and hides it whatever the score is."""


@dataclass(frozen=True)
class Mask:
    """What is added to the scores, or the condition and number of a Where in their place."""

    value: ir.Value
    fill: float | None = None
    where_true: bool = True


def masked(node: ir.Node) -> tuple[ir.Value | None, Mask] | None:
    """Read a node as scores with some of them hidden."""
    if node.op_type == "Where":
        condition = node.inputs[0]
        assert condition is not None
        for scores, filled in ((1, 2), (2, 1)):
            fill = graphs.scalar(node.inputs[filled])
            if fill is not None and fill <= _HIDDEN:
                return node.inputs[scores], Mask(condition, fill, where_true=filled == 1)
        return None
    if node.op_type != "Add":
        return None
    for scores, added in ((0, 1), (1, 0)):
        mask = node.inputs[added]
        if mask is not None and _from_product(node.inputs[scores]):
            return node.inputs[scores], Mask(mask)
    return None


def mask_value(
    model: ir.Model,
    mask: Mask,
    *,
    queries: ir.Value,
    keys: ir.Value,
    masks: dict[tuple[Any, ...], ir.Value],
    output: ir.Value,
) -> ir.Value:
    """Give the mask as numbers to add, [batch or 1, heads or 1, queries, keys], made once for all.

    The kernel repeats it along its first two axes, and not along the others.
    """
    steps = tuple((graphs.known_shape(value) or ())[1] for value in (queries, keys))
    key = (mask.value, mask.fill, mask.where_true, steps)
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
    counts = [
        graphs.new_node(
            "Shape", [value], attributes={"start": 1, "end": 2}, name=f"{stem}/Shape{place}"
        )
        for place, value in enumerate((queries, keys))
    ]
    sizes = graphs.new_node(
        "Concat",
        [one, *(count.outputs[0] for count in counts)],
        attributes={"axis": 0},
        name=f"{stem}/Concat",
    )
    nodes += [*counts, sizes]
    nodes.append(graphs.new_node("Expand", [added, sizes.outputs[0]], name=f"{stem}/Expand"))
    producer = output.producer()
    assert producer is not None
    graph.insert_before(producer, nodes)
    masks[key] = nodes[-1].outputs[0]
    return masks[key]


def scaled(node: ir.Node) -> tuple[ir.Value | None, float] | None:
    """Read a node as a multiplication by one constant number."""
    if node.op_type == "Mul":
        for one, other in ((0, 1), (1, 0)):
            if (factor := graphs.scalar(node.inputs[other])) is not None:
                return node.inputs[one], factor
    if node.op_type == "Div" and (divisor := graphs.scalar(node.inputs[1])):
        return node.inputs[0], 1.0 / divisor
    return None


def _from_product(value: ir.Value | None) -> bool:
    """Tell whether a value is a product of two computed ones, scaled or not."""
    node = value.producer() if value is not None else None
    while node is not None and (times := scaled(node)) is not None:
        node = times[0].producer() if times[0] is not None else None
    return node is not None and node.op_type == "MatMul"
