"""Take batch norms into the weights in front of them, which no integer kernel would do.

    x ─▶ Conv(w, b) ─▶ BatchNormalization(g, h, mean, var) ─▶ y    ▶    x ─▶ Conv(w', b') ─▶ y

    w' = w · g / √(var + ε),   b' = (b - mean) · g / √(var + ε) + h        a channel each

(Ioffe & Szegedy 2015). ONNX Runtime does this in float, and no longer once Q/DQ stands between.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import numpy_helper

from edgekit.quantize.elements import FLOAT, captured, label, names_in

_EPSILON = 1e-5  # ONNX's default


def fold_batch_norms(model: Any) -> int:
    """Fold every batch norm of a model that may be, in place; return how many.

    One may be where a Conv with stored weights makes its input for it alone, and all its own
    numbers are stored.

    Args:
        model: what `elements.read_typed` gave, weights loaded.
    """
    graph = model.graph
    stored = {t.name: numpy_helper.to_array(t) for t in graph.initializer if t.data_type == FLOAT}
    taken = names_in(graph)
    users: dict[str, int] = {}
    for node in graph.node:
        for name in (*node.input, *captured(node)):
            users[name] = users.get(name, 0) + 1
    for value in graph.output:
        users[value.name] = users.get(value.name, 0) + 1
    makers = {name: node for node in graph.node for name in node.output}
    gone = []
    for index, node in enumerate(graph.node):
        conv = makers.get(node.input[0]) if node.op_type == "BatchNormalization" else None
        if conv is None or conv.op_type != "Conv" or users[node.input[0]] != 1:
            continue
        numbers = [*conv.input[1:], *node.input[1:5]]
        if len(node.output) != 1 or not all(not name or name in stored for name in numbers):
            continue
        gamma, beta, mean, variance = (stored[name].astype(np.float64) for name in node.input[1:5])
        weight = stored[conv.input[1]].astype(np.float64)
        bias = stored[conv.input[2]].astype(np.float64) if len(numbers) == 6 and numbers[1] else 0.0
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), _EPSILON)
        factor = gamma / np.sqrt(variance + epsilon)
        along = (-1, *[1] * (weight.ndim - 1))
        del conv.input[1:]
        for name, array in (
            (f"{node.output[0]}_weight", weight * factor.reshape(along)),
            (f"{node.output[0]}_bias", (bias - mean) * factor + beta),
        ):
            while name in taken:
                name += "_"
            taken.add(name)
            folded = np.ascontiguousarray(array, np.float32)
            graph.initializer.append(numpy_helper.from_array(folded, name))
            conv.input.append(name)
        conv.name = label(conv)  # without a name it is known by what it makes
        conv.output[0] = node.output[0]
        gone.append(index)
    for index in reversed(gone):
        del graph.node[index]
    if gone:
        _drop_unused(graph, set(stored))
    return len(gone)


def _drop_unused(graph: Any, names: set[str]) -> None:
    used = {name for node in graph.node for name in (*node.input, *captured(node))}
    used |= {value.name for value in graph.output}
    for field in (graph.initializer, graph.input):
        left = [v for v in field if v.name in used or v.name not in names]
        copies = [type(value).FromString(value.SerializeToString()) for value in left]
        if len(copies) < len(field):
            del field[:]
            field.extend(copies)
