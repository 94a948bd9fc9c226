"""Stored weights and biases as integers, with the DequantizeLinear that turns them back.

Two nodes that share a weight share its integers, unless the bias of one needs larger steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import helper

from edgekit.package.values import QuantRules
from edgekit.quantize.qdq.multiplying import Multiplying, bias_row
from edgekit.quantize.qdq.qdq_nodes import QdqNodes
from edgekit.quantize.weights import as_int8
from edgekit.tensors import Array

_LARGEST_BIAS = 2**30
"""A bias of more steps than this could take a sum of products out of 32 bits."""


class IntegerWeights:
    """Gives the nodes of a graph integer weights, each stored once."""

    def __init__(
        self, graph: Any, new: QdqNodes, *, weights: Mapping[str, Array], rules: QuantRules
    ) -> None:
        self._graph = graph
        self._new = new
        self._weights = weights
        self._rules = rules
        self._stored: dict[tuple[Any, ...], tuple[str, Array]] = {}

    def multiply(self, node: Any, product: Multiplying, *, step: float) -> None:
        """Give a node its weight as int8 and its bias as int32."""
        bias_name = "" if product.bias is None else node.input[product.bias]
        bias = None
        if bias_name:
            array = self._weights[bias_name] * np.float32(product.beta)
            bias = bias_row(array, product.columns)
        weight = self._weights[node.input[product.weight]] * np.float32(product.alpha)
        axis = product.axis if self._rules.per_channel else None
        integers, scale = as_int8(weight, axis=axis, bits=self._rules.weight_bits)
        needed = _least_scale(bias, step, scale)
        widened = bool((needed > scale).any())
        if widened:
            scale = np.maximum(scale, needed).astype(np.float32)
            spread = scale if axis is None else scale.reshape(_along(axis, weight.ndim))
            integers = np.rint(weight.astype(np.float64) / spread).astype(np.int8)
        key = ("weight", node.input[product.weight], axis, product.alpha)
        if widened or key not in self._stored:
            name = self._new.dequantized(
                node.input[product.weight], integers, scale=scale, axis=axis
            )
            if not widened:
                self._stored[key] = (name, scale)
            node.input[product.weight] = name
        else:
            node.input[product.weight] = self._stored[key][0]
        if bias is not None and not self._rules.symmetric:
            steps = np.float32(step) * scale
            whole = np.rint(bias.astype(np.float64) / steps).astype(np.int32)
            along = 0 if steps.ndim else None
            node.input[product.bias] = self._new.dequantized(
                bias_name, whole, scale=steps, axis=along
            )
        elif bias is not None and product.beta != 1:
            node.input[product.bias] = self._new.constant(f"{bias_name}_scaled", bias)
        for attribute in node.attribute:
            if node.op_type == "Gemm" and attribute.name in ("alpha", "beta"):
                attribute.f = 1.0

    def gather(self, index: int) -> None:
        """Store a table as int8, with a scale a column, and turn the gathered rows back."""
        node = self._graph.node[index]
        table = node.input[0]
        key = ("table", table)
        if key not in self._stored:
            integers, scale = as_int8(self._weights[table], axis=1)
            self._stored[key] = (self._new.constant(f"{table}_int8", integers), scale)
        node.input[0], scale = self._stored[key]
        rows, node_output = self._new.fresh(f"{node.output[0]}_int8"), node.output[0]
        node.output[0] = rows
        inputs = [
            rows,
            self._new.constant(f"{table}_scale", scale),
            self._new.zeros(table, scale, kind=np.int8),
        ]
        back = helper.make_node("DequantizeLinear", inputs, [node_output], axis=-1)
        self._new.put([back], behind=index)


def _least_scale(bias: Array | None, step: float, scale: Array) -> Array:
    """Return the smallest scale of each channel's weights with which its bias is a whole number
    of steps inside 32 bits, and the step itself a normal float32."""
    least = np.full(scale.shape, float(np.finfo(np.float32).tiny) * 4 / step)
    if bias is not None:
        steps = np.abs(bias.astype(np.float64)) / step / _LARGEST_BIAS
        least = np.maximum(least, steps if scale.ndim else steps.max(initial=0.0))
    return least


def _along(axis: int, rank: int) -> list[int]:
    return [-1 if i == axis else 1 for i in range(rank)]
