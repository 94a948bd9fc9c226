"""Convolutions that are faster in float: those that read an image and add up few products.

    image ─▶ Conv ─▶ Relu ─▶ MaxPool ─▶ Q ─▶ DQ ─▶ Conv ─▶ …

With one or three channels and a kernel of 3×3 a value is a sum of 9 or 27 products. That fills no
instruction that multiplies integers, and what goes in must be spread out first, byte by byte; the
float kernel reads it as it lies. The pooling behind it leaves a quarter of the values to round. On
a processor with AVX-512 VNNI that made a network of two such layers 1.4 times as fast, one of five
1.28 times; a stem of 7×7×3 products (ResNet-50) is faster in integers.

ONNX Runtime would move Q in front of the pooling, out of the float kernels' layout, which costs
more than is gained: the CPU provider's precautions keep it from that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgekit.quantize.elements import label
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
    inputs = {value.name for value in graph.input}
    wiring = wiring_of(graph)
    nodes = list(graph.node)

    def only_reader(node: Any) -> Any:
        users = wiring.users.get(node.output[0], [])
        return nodes[users[0][0]] if len(users) == 1 else None

    found = {}
    for node in nodes:
        weight = weights.get(node.input[1]) if node.op_type == "Conv" else None
        if weight is None or node.input[0] not in inputs:
            continue
        # In groups a kernel of its own does well with few products.
        grouped = any(a.name == "group" and a.i != 1 for a in node.attribute)
        behind = only_reader(node)
        if behind is not None and behind.op_type in _CUTTING:
            behind = only_reader(behind)
        products = weight.size // weight.shape[0]
        pooled = behind is not None and behind.op_type == "MaxPool"
        if pooled and not grouped and products < fewest:
            found[label(node)] = (
                f"of {products} products a value, in front of a pooling, it is faster in float"
            )
    return found
