"""A graph into which QuantizeLinear and DequantizeLinear are being written."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgekit.quantize.additions import Names
from edgekit.quantize.qdq.islands import wiring_of
from edgekit.quantize.qdq.spans import Steps
from edgekit.tensors import Array


class QdqNodes:
    """New nodes and constants of a graph; `finish` puts them into their places.

    Attributes:
        left_out: positions of nodes that go.
    """

    def __init__(self, graph: Any, *, activation: str) -> None:
        self.left_out: set[int] = set()
        self._graph = graph
        self._kind = np.uint8 if activation == "uint8" else np.int8
        self.fresh = Names(graph).fresh
        self._first: list[Any] = []
        self._behind: dict[int, list[Any]] = {}

    def put(self, nodes: list[Any], *, behind: int | None = None) -> None:
        """Add nodes behind that at a position, or in front of all."""
        (self._first if behind is None else self._behind.setdefault(behind, [])).extend(nodes)

    def move(self, source: int, target: int) -> None:
        """Put what stands behind one position behind another one."""
        self.put(self._behind.pop(source, []), behind=target)

    def pair(self, source: str, target: str, *, steps: Steps) -> list[Any]:
        """Make Q and DQ between two names."""
        scale = self.constant(f"{target}_scale", np.array(steps.scale, np.float32))
        zero = self.constant(f"{target}_zero_point", np.array(steps.zero_point, self._kind))
        between = self.fresh(f"{target}_quantized")
        return [
            helper.make_node("QuantizeLinear", [source, scale, zero], [between]),
            helper.make_node("DequantizeLinear", [between, scale, zero], [target]),
        ]

    def dequantized(self, name: str, integers: Array, *, scale: Array, axis: int | None) -> str:
        """Store integers and a DequantizeLinear that turns them back; return what that gives."""
        inputs = [
            self.constant(f"{name}_{integers.dtype.name}", integers),
            self.constant(f"{name}_scale", scale),
            self.zeros(name, scale, kind=integers.dtype.type),
        ]
        back = self.fresh(f"{name}_dequantized")
        node = helper.make_node("DequantizeLinear", inputs, [back])
        if axis is not None:
            node.attribute.append(helper.make_attribute("axis", axis))
        self._first.append(node)
        return back

    def zeros(self, name: str, scale: Array, *, kind: Any) -> str:
        """Store zero points of 0, one for each scale, and return their name."""
        return self.constant(f"{name}_zero_point", np.zeros(scale.shape, kind))

    def constant(self, name: str, array: Array) -> str:
        """Store an array and return the name that it got."""
        name = self.fresh(name)
        self._graph.initializer.append(numpy_helper.from_array(array.copy(order="C"), name))
        return name

    def finish(self, weights: Collection[str]) -> None:
        """Put the new nodes in their places, and leave out those weights that nobody takes now."""
        nodes = list(self._first)
        for index, node in enumerate(self._graph.node):
            if index not in self.left_out:
                nodes += [node, *self._behind.get(index, [])]
        kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del self._graph.node[:]
        self._graph.node.extend(kept)
        del self._graph.value_info[:]
        wiring = wiring_of(self._graph)
        unused = {name for name in weights if not wiring.users.get(name)} - wiring.outside
        for field in (self._graph.initializer, self._graph.input):
            left = [value for value in field if value.name not in unused]
            if len(left) < len(field):
                copies = [type(value).FromString(value.SerializeToString()) for value in left]
                del field[:]
                field.extend(copies)
