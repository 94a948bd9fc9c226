"""Convolutions that are faster in float: those that read an image and add up few products.

    image ─▶ Conv ─▶ Relu ─▶ MaxPool ─▶ Q ─▶ DQ ─▶ Conv ─▶ …

    image ─▶ Conv ─▶ MaxPool ─▶ Relu ─▶ Q ─▶ DQ ─▶ Conv ─▶ …

With one or three channels and a kernel of 3×3 a value is a sum of 9 or 27 products. That fills no
instruction that multiplies integers, and what goes in must be spread out first, byte by byte; the
float kernel reads it as it lies. The pooling behind it leaves a quarter of the values to round. On
a processor with AVX-512 VNNI that made a network of two such layers 1.4 times as fast, one of five
1.28 times; a stem of 7×7×3 products (ResNet-50) is faster in integers.

The pooling goes in front of what cuts values off, which is the same number: both keep the order of
values. ONNX Runtime moves a Q in front of a pooling that it follows, out of the layout in which
the float kernels are fast (measured: the small network then takes 1.4 times as long as in float);
behind a Relu it stays, and ONNX Runtime leaves out a Relu whose work the rounding to uint8 does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnx import numpy_helper

from edgekit.quantize.elements import FLOAT, label
from edgekit.quantize.qdq.islands import wiring_of
from edgekit.tensors import Array

_CUTTING = ("Clip", "LeakyRelu", "Relu")


def float_stems(graph: Any, *, weights: Mapping[str, Array], fewest: int) -> dict[str, str]:
    """Find the convolutions that are to stay in float, by label, and say why.

    Args:
        graph: the graph.
        weights: its float32 constants.
        fewest: how many products make an integer kernel worth it; 0 leaves none in float.
    """
    return {
        label(nodes[0]): (
            f"of {products} products a value, in front of a pooling, it is faster in float"
        )
        for nodes, products in _stems(graph, weights)
        if products < fewest
    }


def pool_first(graph: Any, *, fewest: int) -> int:
    """Move the pooling of convolutions that stay in float in front of what cuts values off.

    Nodes keep their labels.

    Args:
        graph: the graph, rewritten in place.
        fewest: as for `float_stems`.

    Returns:
        How many were moved.
    """
    weights = {t.name: numpy_helper.to_array(t) for t in graph.initializer if t.data_type == FLOAT}
    instead: dict[int, Any] = {}
    for nodes, products in _stems(graph, weights):
        if products >= fewest or len(nodes) < 3:
            continue
        _, cut, pool = nodes
        for node in (cut, pool):
            node.name = label(node)
        made, cut_off, pooled = cut.input[0], cut.output[0], pool.output[0]
        pool.input[0], pool.output[0] = made, cut_off
        cut.input[0], cut.output[0] = cut_off, pooled
        instead |= {id(cut): pool, id(pool): cut}
    if instead:
        nodes = list(graph.node)
        ordered = [
            type(node).FromString(instead.get(id(node), node).SerializeToString()) for node in nodes
        ]
        del graph.node[:]
        graph.node.extend(ordered)
    return len(instead) // 2


def _stems(graph: Any, weights: Mapping[str, Array]) -> list[tuple[Sequence[Any], int]]:
    """Find convolutions of an image that are pooled, and how many products make a value of each.

    Each with what follows up to the pooling: what cuts values off, where something does.
    """
    inputs = {value.name for value in graph.input}
    wiring = wiring_of(graph)
    nodes = list(graph.node)

    def only_reader(node: Any) -> Any:
        users = wiring.users.get(node.output[0], [])
        seen = len(users) == 1 and node.output[0] not in wiring.outside
        return nodes[users[0][0]] if seen else None

    found: list[tuple[Sequence[Any], int]] = []
    for node in nodes:
        weight = weights.get(node.input[1]) if node.op_type == "Conv" else None
        if weight is None or node.input[0] not in inputs:
            continue
        # In groups a kernel of its own does well with few products.
        if any(a.name == "group" and a.i != 1 for a in node.attribute):
            continue
        chain = [node]
        behind = only_reader(node)
        if behind is not None and behind.op_type in _CUTTING and _keeps_order(behind):
            chain.append(behind)
            behind = only_reader(behind)
        if behind is not None and behind.op_type == "MaxPool" and _pools_alone(behind):
            found.append(([*chain, behind], weight.size // weight.shape[0]))
    return found


def _keeps_order(node: Any) -> bool:
    """Tell whether of two values the larger one stays so, or becomes the same."""
    return not any(a.name == "alpha" and a.f < 0 for a in node.attribute)


def _pools_alone(node: Any) -> bool:
    """Tell whether a pooling gives the largest of values that are there, and nothing beside it."""
    apart = any(a.name == "dilations" and set(a.ints) != {1} for a in node.attribute)
    return not apart and len([name for name in node.output if name]) == 1
