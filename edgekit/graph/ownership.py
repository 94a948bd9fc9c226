"""Which nodes of a float model each node of a loaded graph stands for, and what can be compared.

A node is its owner's by its name, or by a value that it gives (`NodeNames`). What ONNX Runtime adds
without a name (a Transpose in front of a convolution, the two halves of a HardSwish) belongs to
whoever makes what it takes. Two graphs of one model then have groups of nodes in common:

    float       conv1_out_nchwc                               Conv and HardSwish in one kernel
    quantized   conv1 ─▶ DequantizeLinear ─▶ HardSigmoid ─▶ Mul ─▶ QuantizeLinear

A float node that one of the two has no kernel for goes to the group of the node before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from edgekit.graph.loaded import LoadedNode
from edgekit.graph.node_names import NodeNames, label

CONVERSIONS = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})
"""What turns numbers into integers and back."""

LAYOUTS = frozenset({"Transpose", "ReorderInput", "ReorderOutput"})
"""What lays a value out anew."""


class Owner(msgspec.Struct, frozen=True):
    """The float model's node that a loaded one stands for; `named` says it by its own name or
    value, and not through its neighbours."""

    label: str
    named: bool


def operators_of(source: Any) -> dict[str, str]:
    """Tell the operator of each node of a float model, by its label, in the graph's order."""
    return {label(node): str(node.op_type) for node in source.graph.node}


def owners(source: Any, profiled: Any, loaded: Sequence[LoadedNode]) -> list[Owner | None]:
    """Find the owner of every node of a loaded graph; None where nothing leads to one.

    Args:
        source: the float model.
        profiled: the file that was loaded: the float model itself, or what was made from it.
        loaded: its nodes as they ran, in that order.
    """
    operators = operators_of(source)
    names = NodeNames(profiled, list(operators))
    makers = {name: label(node) for node in source.graph.node for name in node.output if name}
    found: list[Owner | None] = []
    by_value: dict[str, Owner] = {}
    for node in loaded:
        own = None
        if node.sized.operator not in CONVERSIONS:
            own = names.owner(node.sized.name, node.sized.operator)
            given = next((makers[name] for name in node.outputs if name in makers), None)
            # What lays a value out anew at the end of a model gives that value, and isn't its node.
            if given and (
                node.sized.operator not in LAYOUTS or operators[given] == node.sized.operator
            ):
                own = own or given
        before = next((by_value[name] for name in node.inputs if name in by_value), None)
        owner = Owner(own, True) if own else Owner(before.label, False) if before else None
        found.append(owner)
        if owner is not None:
            by_value.update(dict.fromkeys(node.outputs, owner))
    return _from_behind(loaded, found)


def shared_groups(source: Any, *sides: Sequence[Owner | None]) -> dict[str, str]:
    """Tell the group of each node of a float model: a node that every side runs by itself.

    A node that isn't goes with the one that makes what it takes, or else with the next that there
    is. Where no node is on all sides there is one group.
    """
    labels = list(operators_of(source))
    present = [{owner.label for owner in side if owner and owner.named} for side in sides]
    shared = [name for name in labels if all(name in one for one in present)]
    makers = {name: label(node) for node in source.graph.node for name in node.output if name}
    groups: dict[str, str] = {}
    waiting: list[str] = []
    anchors = frozenset(shared)
    for node in source.graph.node:
        name = label(node)
        before = next((makers[value] for value in node.input if value in makers), None)
        if name in anchors:
            groups[name] = name
        elif before is not None and before in groups:
            groups[name] = groups[before]
        else:
            waiting.append(name)
    for name in waiting:
        later = labels[labels.index(name) :]
        groups[name] = next((groups[one] for one in later if one in groups), name)
    return groups


def _from_behind(loaded: Sequence[LoadedNode], found: Sequence[Owner | None]) -> list[Owner | None]:
    """Give what comes before everything that is known (a model's first conversion) to its user."""
    owners = list(found)
    users: dict[str, Owner] = {}
    for index in range(len(loaded) - 1, -1, -1):
        owner = owners[index]
        if owner is None:
            user = next((users[name] for name in loaded[index].outputs if name in users), None)
            owner = owners[index] = Owner(user.label, False) if user else None
        if owner is not None:
            users.update(dict.fromkeys(loaded[index].inputs, owner))
    return owners
