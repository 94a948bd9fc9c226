"""How many weights the nodes of each operator read."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

from edgekit.graph.summary import load_model


def weights_by_operator(path: Path) -> dict[str, int]:
    """Count the elements of the constants that each operator reads, each once an operator.

    What a node makes of constants alone, such as a transposed matrix, is what they are. Constants
    of graphs inside nodes aren't counted.

    Raises what `edgekit.graph.summary.load_model` raises.
    """
    graph = load_model(path).graph
    elements = {weight.name: math.prod(weight.dims) for weight in graph.initializer}
    made_of: dict[str, frozenset[str]] = {name: frozenset((name,)) for name in elements}
    read: defaultdict[str, set[str]] = defaultdict(set)
    for node in graph.node:
        values = [made_of.get(name) for name in node.input if name]
        constants = frozenset[str]().union(*(value for value in values if value is not None))
        if node.op_type == "Constant":
            # Its only tensor, where it has one: the other attributes hold a few numbers.
            tensor = next((a.t for a in node.attribute if a.HasField("t")), None)
            elements[node.output[0]] = math.prod(tensor.dims) if tensor is not None else 1
            made_of[node.output[0]] = frozenset(node.output)
        elif values and None not in values:
            made_of |= dict.fromkeys(node.output, constants)
        elif constants:
            read[node.op_type] |= constants
    return {
        operator: sum(elements[name] for name in names) for operator, names in sorted(read.items())
    }
