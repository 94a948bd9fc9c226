"""Whose node of the float model a node of a profile is.

ONNX Runtime rewrites a model while it loads it. What it fuses it names after one of the nodes
("fused conv", "conv_token_1", "matmul/MatMulScaleFusion/") or after the value that comes out
("relu_nchwc"); what a scheme puts in place of a node begins with that one's name, too. What turns
numbers into integers and back between nodes is a node's own where it serves it alone:

    x ─▶ Q ─▶ DQ ─▶ MatMul            both are the MatMul's: with it in float they are gone
    x ─▶ Q ─▶ DQ ─┬▶ query            nobody's: with one of the three in float they still are there
                  ├▶ key
                  └▶ value
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

_BETWEEN = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})
_FUSED, _BLOCKED = "fused ", "_nchwc"
_FAR = 4
"""How many nodes a kernel may have been fused of, back from the one whose value it is named after
to the one that it is."""


def label(node: Any) -> str:
    """Name a node: one without a name by its operator and its first output."""
    first = next((name for name in node.output if name), "")
    return str(node.name or f"{node.op_type}:{first}")


class NodeNames:
    """Tells which node of a float model the nodes of a profile stand for.

    Args:
        model: the graph that was profiled: of the float model, or of what was made from it.
        labels: those of all nodes of the float model.
        quantized: labels of the nodes that the profiled model has quantized.
    """

    def __init__(
        self, model: Any, labels: Collection[str], *, quantized: Collection[str] = ()
    ) -> None:
        nodes = list(model.graph.node)
        self._labels = sorted(labels, key=len, reverse=True)
        self._maker = {name: node for node in nodes for name in node.output if name}
        self._users: dict[str, list[Any]] = {}
        for node in nodes:
            for name in node.input:
                self._users.setdefault(name, []).append(node)
        self._owners = {
            label(node): self._owner(node, frozenset(quantized))
            for node in nodes
            if node.op_type in _BETWEEN
        }
        self._between = sorted(self._owners, key=len, reverse=True)

    def owner(self, name: str, operator: str) -> str | None:
        """Name the float model's node that a profile's stands for; None where it isn't one's."""
        name = name.removeprefix(_FUSED)
        if operator in _BETWEEN and (known := _longest(self._between, name)) is not None:
            return self._owners[known]
        if name.endswith(_BLOCKED):
            return self._behind(name.removesuffix(_BLOCKED), operator)
        return _longest(self._labels, name)

    def _behind(self, value: str, operator: str) -> str | None:
        """Go back from a value to the node of an operator that it was fused with."""
        for _ in range(_FAR):
            node = self._maker.get(value)
            if node is None:
                return None
            if node.op_type == operator:
                return _longest(self._labels, label(node))
            value = node.input[0] if node.input else ""
        return None

    def _owner(self, node: Any, quantized: Collection[str]) -> str | None:
        before = self._nearest(node, forward=False)
        behind = self._nearest(node, forward=True)
        served = [name for name in (*before, *behind) if name in quantized]
        return served[0] if len(served) == 1 else None

    def _nearest(self, node: Any, *, forward: bool) -> list[str]:
        """Name the nodes of the float model that one between them reaches first."""
        found: dict[str, None] = {}
        waiting = [node]
        while waiting:
            one = waiting.pop()
            for name in one.output if forward else one.input:
                makers = [self._maker[name]] if name in self._maker else []
                for other in self._users.get(name, []) if forward else makers:
                    if other.op_type in _BETWEEN:
                        waiting.append(other)
                    elif (known := _longest(self._labels, label(other))) is not None:
                        found[known] = None
        return list(found)


def _longest(ordered: Sequence[str], name: str) -> str | None:
    """Find the longest known name that a name begins with, the longest coming first."""
    return next((known for known in ordered if _named_after(name, known)), None)


def _named_after(name: str, known: str) -> bool:
    """Tell whether a name is another with something behind it: `conv_12` isn't after `conv_1`."""
    return name.startswith(known) and not name[len(known) :][:1].isalnum()
