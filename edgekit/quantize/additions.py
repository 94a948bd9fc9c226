"""Nodes, constants and answers that are added to a graph, under names that it doesn't have yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnx import TensorProto, helper, numpy_helper

from edgekit.quantize.elements import names_in
from edgekit.tensors import Array


class Names:
    """The names of a graph, and those that were given since."""

    def __init__(self, graph: Any) -> None:
        self._taken = names_in(graph)

    def fresh(self, name: str) -> str:
        """Return a name that nothing has yet, this one if that is so, and take it."""
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name


class Additions:
    """What is added behind a graph's own nodes, in order."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.fresh = Names(graph).fresh

    def node(
        self, operator: str, inputs: Sequence[str], *, attributes: Mapping[str, Any] | None = None
    ) -> str:
        """Add a node with one output, and name that."""
        made = helper.make_node(operator, inputs, [self.fresh(f"{inputs[0]}_{operator}")])
        for name, value in (attributes or {}).items():
            made.attribute.append(helper.make_attribute(name, value))
        self.graph.node.append(made)
        return str(made.output[0])

    def constant(self, name: str, array: Array) -> str:
        """Add an initializer, and name it."""
        name = self.fresh(name)
        self.graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def answer(self, name: str, *, kind: int = TensorProto.FLOAT, scalar: bool = True) -> str:
        """Make a value of an element type an answer of the model."""
        shape: list[int] | None = [] if scalar else None
        self.graph.output.append(helper.make_tensor_value_info(name, kind, shape))
        return name
