"""Divide the channels of a value by changing the weights of what makes it.

    LayerNormalization(·, g, b) ─▶ X          ▶   g / s, b / s
    MatMul(·, W) ─▶ Add(·, b) ─▶ Relu ─▶ X    ▶   W / s, b / s      (a Relu of x / s is Relu(x) / s)

Channels are the last axis. It is done only where nothing else reads a value on the way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeAlias

from edgekit.quantize.constants import Constants, whole_attribute
from edgekit.quantize.elements import captured
from edgekit.tensors import Array

Edits: TypeAlias = "list[Callable[[], None]]"

_LINEAR = frozenset({"Dropout", "Identity", "LeakyRelu", "Relu"})
"""f(x / s) = f(x) / s for s > 0."""

_NORMS = frozenset({"LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization"})


class Division:
    """Finds and makes divisions in a graph that is edited in place."""

    def __init__(self, graph: Any, constants: Constants) -> None:
        self._constants = constants
        self._made_by = {name: node for node in graph.node for name in node.output}
        self._uses = Counter(name for node in graph.node for name in node.input)
        self._held = {value.name for value in graph.output}
        for node in graph.node:
            self._held |= captured(node)

    def fold(self, value: str, scale: Array, *, readers: list[Any]) -> bool:
        """Divide a value by a positive scale, [channels]; False, and nothing is changed, where that
        can't be done, or others than the `readers` would see it."""
        if value in self._held or self._uses[value] != len(readers):
            return False
        edits = self._edits(value, scale)
        for edit in edits or ():
            edit()
        return edits is not None

    def _edits(self, value: str, scale: Array) -> Edits | None:
        node = self._made_by.get(value)
        if node is None or value != node.output[0]:
            return None
        operator = node.op_type
        if operator in _NORMS:
            return self._of_norm(node, scale)
        if node.domain not in ("", "ai.onnx"):
            return None
        if operator == "MatMul":
            return self._both([self._divided(node, 1, scale)])
        if operator == "Gemm":
            turned = bool(whole_attribute(node, "transB", 0))
            edits = [self._divided(node, 1, scale[:, None] if turned else scale)]
            if len(node.input) > 2 and node.input[2]:
                edits.append(self._divided(node, 2, scale))
            return self._both(edits)
        if operator in _LINEAR:
            return self._of_only(node.input[0], scale)
        if operator in ("Add", "Sub"):
            return self._both([self._side(node, place, scale) for place in (0, 1)])
        if operator == "Mul" and node.input[0] != node.input[1]:
            sides = (self._side(node, place, scale) for place in (1, 0))
            return next((edits for edits in sides if edits is not None), None)
        if operator == "Div":
            return self._side(node, 0, scale)
        return None

    def _of_norm(self, node: Any, scale: Array) -> Edits | None:
        if whole_attribute(node, "axis", -1) != -1 and self._rank(node) != 1:
            return None
        edits = [self._divided(node, 1, scale)]
        if len(node.input) > 2 and node.input[2]:
            edits.append(self._divided(node, 2, scale))
        return self._both(edits)

    def _rank(self, node: Any) -> int:
        array = self._constants.array(node, 1)
        return 0 if array is None else array.ndim

    def _side(self, node: Any, place: int, scale: Array) -> Edits | None:
        """Divide one side of a node: a constant, or what makes it."""
        divided = self._divided(node, place, scale)
        return self._of_only(node.input[place], scale) if divided is None else divided

    def _of_only(self, value: str, scale: Array) -> Edits | None:
        if value in self._held or self._uses[value] != 1:
            return None
        return self._edits(value, scale)

    def _divided(self, node: Any, place: int, scale: Array) -> Edits | None:
        """Divide a constant whose last axis is the channels, or that is the same for all."""
        array = self._constants.array(node, place)
        if array is None or (
            scale.ndim == 1 and array.ndim and array.shape[-1] not in (1, len(scale))
        ):
            return None
        return [lambda: self._constants.put(node, place, array=array / scale)]

    @staticmethod
    def _both(edits: list[Edits | None]) -> Edits | None:
        found: Edits = []
        for some in edits:
            if some is None:
                return None
            found += some
        return found
