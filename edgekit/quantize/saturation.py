"""The proof that an int8 model answers the same with and without VNNI.

An x86 processor without VNNI multiplies a uint8 by an int8, adds two such products up in 16 bits
and cuts off what doesn't fit (vpmaddubsw). No pair can leave them if, for any two weights of a
node,

    255 · (|w1| + |w2|) <= 32767,    that is    |w1| + |w2| <= 128

whichever two a kernel puts side by side. int8 activations are moved to uint8 in front of the same
kernels, and weights that are uint8 themselves go through others, which add up in 32 bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from edgekit.errors import ModelFileError
from edgekit.graph.summary import load_model
from edgekit.package.values import Target
from edgekit.providers.targets import adds_up_in_16_bits
from edgekit.quantize import files
from edgekit.quantize.elements import label, subgraphs
from edgekit.quantize.qdq.islands import PASSING

LARGEST_PAIR = 32767 // 255
"""How much the sizes of two weights may be together."""

_WEIGHTS = {
    "ConvInteger": (1,),
    "DynamicQuantizeLSTM": (1, 2),
    "DynamicQuantizeMatMul": (1,),
    "MatMulInteger": (1,),
    "MatMulIntegerToFloat": (1,),
    "QAttention": (1,),
    "QGemm": (3,),
    "QLinearConv": (3,),
    "QLinearMatMul": (3,),
}
"""Operators of integers, and which of their inputs are weights."""

_FLOATS = {"Conv": (1,), "ConvTranspose": (1,), "Gemm": (0, 1), "MatMul": (0, 1)}
"""Operators that become such where DequantizeLinear stands in front of their weights."""


def refuse_saturating(path: Path, target: Target) -> None:
    """Raise ModelFileError for a model whose products may leave 16 bits on its target.

    Args:
        path: the .onnx file, external data beside it.
        target: what it is made for; where products are added up in 32 bits anything goes.
    """
    if not adds_up_in_16_bits(target):
        return
    model = load_model(path)
    files.load_weights(model, path)
    found = saturating(model)
    if found:
        node, pair = next(iter(found.items()))
        raise ModelFileError(
            path=str(path),
            problem=f"two weights of {node} have sizes of {pair} together: times 255 that leaves "
            "the 16 bits in which a processor without VNNI adds them up",
        )


def saturating(model: Any) -> dict[str, int]:
    """Name the nodes of which two weights could leave 16 bits, and the sum of their sizes.

    Args:
        model: the model, its weights loaded.
    """
    found: dict[str, int] = {}
    for graph in _graphs(model.graph):
        stored = {tensor.name: tensor for tensor in graph.initializer}
        makers = {name: node for node in graph.node for name in node.output}
        for node in graph.node:
            places = _WEIGHTS.get(node.op_type, ())
            names = [node.input[i] for i in places if i < len(node.input)]
            for i in _FLOATS.get(node.op_type, ()):
                names.append(_integers_behind(node.input[i], makers))
            for name in names:
                tensor = stored.get(_source(name, makers))
                if tensor is not None and tensor.data_type == onnx.TensorProto.INT8:
                    pair = _largest_pair(numpy_helper.to_array(tensor))
                    if pair > LARGEST_PAIR:
                        found[label(node)] = max(pair, found.get(label(node), 0))
    return found


def _integers_behind(name: str, makers: dict[str, Any]) -> str:
    """Find the integers that a value was turned back from; empty where it wasn't."""
    node = makers.get(_source(name, makers))
    return node.input[0] if node is not None and node.op_type == "DequantizeLinear" else ""


def _source(name: str, makers: dict[str, Any]) -> str:
    """Follow a value back through operators that hand it on as it is."""
    while (node := makers.get(name)) is not None and node.op_type in PASSING:
        name = node.input[0]
    return name


def _largest_pair(integers: Any) -> int:
    sizes = np.abs(integers.astype(np.int32)).ravel()
    return int(np.partition(sizes, -2)[-2:].sum()) if sizes.size > 1 else int(sizes.sum())


def _graphs(graph: Any) -> Iterator[Any]:
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from _graphs(inner)
