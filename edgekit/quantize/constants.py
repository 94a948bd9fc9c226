"""A graph's float32 constants: read them, and change one for the node that reads it alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from onnx import numpy_helper

from edgekit.quantize.additions import Names
from edgekit.quantize.elements import FLOAT, captured
from edgekit.tensors import Array


class Constants:
    """The initializers of a graph whose weights are loaded; the graph is edited in place."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._uses = Counter(name for node in graph.node for name in node.input)
        for node in graph.node:
            # What a branch or a loop reads is never changed.
            self._uses.update(dict.fromkeys(captured(node), 2))
        self._uses.update(dict.fromkeys((value.name for value in graph.output), 2))
        self.fresh = Names(graph).fresh

    def array(self, node: Any, place: int) -> Array | None:
        """Return the float32 constant that a node reads at a place, None where there is none."""
        name = node.input[place] if place < len(node.input) else ""
        tensor = self._tensors.get(name)
        if tensor is None or tensor.data_type != FLOAT:
            return None
        return numpy_helper.to_array(tensor)

    def put(self, node: Any, place: int, *, array: Array) -> None:
        """Let a node read another constant at a place; others that read the old one keep it."""
        name = node.input[place] if place < len(node.input) else ""
        if name in self._tensors and self._uses[name] == 1:
            tensor = numpy_helper.from_array(np.asarray(array, np.float32), name)
            self._tensors[name].CopyFrom(tensor)
            return
        while len(node.input) <= place:
            node.input.append("")
        self._uses[name] -= 1
        node.input[place] = self.add(f"{name or node.output[0]}_changed", array)

    def add(self, name: str, array: Array) -> str:
        """Add a constant that one node will read, and return its name, made one of its own."""
        name = self.fresh(name)
        tensor = self._graph.initializer.add()
        tensor.CopyFrom(numpy_helper.from_array(np.asarray(array, np.float32), name))
        self._tensors[name] = tensor
        self._uses[name] = 1
        return name


def float_attribute(node: Any, name: str, default: float) -> float:
    """Return a node's attribute that is a number."""
    for attribute in node.attribute:
        if attribute.name == name:
            return float(attribute.f)
    return default


def whole_attribute(node: Any, name: str, default: int) -> int:
    """Return a node's attribute that is a whole number."""
    for attribute in node.attribute:
        if attribute.name == name:
            return int(attribute.i)
    return default
