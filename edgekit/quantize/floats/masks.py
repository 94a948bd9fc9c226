"""Values that only decide what a Softmax leaves out: below a format's range they may end in it.

Attention masks add or put in float32's lowest number where nothing may be attended to. Softmax
makes 0 of it as it does of -30000, and that fp16 can hold, with room for what is added to it
(`edgekit.quantize.floats.formats.Format.lowest_mask`).
"""

from __future__ import annotations

from typing import Any

from edgekit.quantize.elements import captured

_ON_THE_WAY = frozenset(
    {"Add", "Cast", "Concat", "Div", "Expand", "Gather", "Identity", "Max", "Mul", "Reshape"}
    | {"Slice", "Squeeze", "Sub", "Transpose", "Unsqueeze", "Where"}
)


def behind_softmax(graph: Any) -> set[str]:
    """Name the values of a graph that reach nothing but a Softmax."""
    users: dict[str, list[Any]] = {}
    elsewhere = {value.name for value in graph.output}
    for node in graph.node:
        elsewhere |= captured(node)
        for name in node.input:
            users.setdefault(name, []).append(node)
    found: set[str] = set()
    # Whoever uses a value comes after it, so from the end everything is known that is asked.
    for node in reversed(graph.node):
        for name in (*node.output, *node.input):
            if name in found or name in elsewhere or name not in users:
                continue
            if all(
                user.op_type == "Softmax"
                or (user.op_type in _ON_THE_WAY and found.issuperset(filter(None, user.output)))
                for user in users[name]
            ):
                found.add(name)
    return found
