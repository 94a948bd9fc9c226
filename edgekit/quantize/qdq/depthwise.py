"""Convolutions of single channels that are faster in float where all around them is float.

    x ─▶ Q ─▶ DQ ─▶ Conv(group, 7×7) ─▶ Q ─▶ DQ ─▶ LayerNormalization

    x ─▶ Conv(group, 7×7) ─▶ LayerNormalization

With a group for each channel a value adds up as many products as its kernel has points, each with a
weight of its own, which no instruction that multiplies integers is made for: on 56×56 points of 40
channels 7×7 takes 39 µs in float, and 210 in integers. Between floats, as in ConvNeXt, turning
values into integers and back comes on top. Beside integers (MobileNetV2) that falls to the float
kernel, so there they stay integers.

Measured with AVX-512, between two HardSwish and convolutions of one point in integers, five sizes
of images: 1.07 to 1.3 times as fast with 7×7, 0.98 to 1.17 with 5×5, 0.96 to 1.04 with 3×3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgekit.tensors import Array


def large_depthwise(graph: Any, *, weights: Mapping[str, Array], fewest: int) -> frozenset[int]:
    """Find the convolutions of single channels that add up many products, by position.

    Args:
        graph: the graph.
        weights: its float32 constants.
        fewest: from how many products a value on; 0 finds none.
    """
    found = set()
    for index, node in enumerate(graph.node if fewest else ()):
        weight = weights.get(node.input[1]) if node.op_type == "Conv" else None
        grouped = any(a.name == "group" and a.i > 1 for a in node.attribute)
        if weight is not None and grouped and weight.shape[1] == 1 and weight[0].size >= fewest:
            found.add(index)
    return frozenset(found)
