"""Keep ONNX Runtime's CPU provider from a fusion that takes the process down with it.

A Transpose that brings the first axis behind the others, in front of a MatMul whose other factor
has fewer axes, both in fp16, is a segmentation fault while a session is made (onnxruntime 1.31.0
and 1.32.0, its MatmulTransposeFusion; all permutations of two to four axes were tried). So the two
are kept apart by a Reshape to the shape that is there already, which copies nothing:

    x ─▶ Transpose<1,0,2> ─▶ MatMul ─▶ y      x ─▶ Transpose<1,0,2> ─▶ Reshape<0,0,0> ─▶ MatMul ─▶ y

edgekit's own sessions leave that fusion out (`edgekit.providers.cpu`); this is for those that open
the file by themselves. What a GPU loses by it was not measured: the fusion saves it one Transpose,
and makes of one product as many as the axis is long.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

_SEEN_THROUGH = frozenset({"Div", "Identity", "Mul"})
"""What ONNX Runtime takes out of the way first: a factor moves into the product."""


def keep_apart(graph: Any, *, halves: Collection[str], taken: set[str]) -> int:
    """Put a Reshape between each such Transpose and its MatMul, and return how many that were.

    Args:
        graph: an fp16 graph, which is changed.
        halves: the names of its values that have 16 bits.
        taken: names that are in use; new ones are added.
    """
    made_by = {name: node for node in graph.node for name in node.output}
    weights = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    nodes: list[Any] = []
    added = 0
    for node in graph.node:
        if node.op_type == "MatMul" and node.domain in ("", "ai.onnx"):
            for side, other in ((0, 1), (1, 0)):
                name = node.input[side]
                rank = _turned(name, made_by) if name in halves else 0
                if rank > weights.get(node.input[other], 0):
                    shape, same = _fresh(f"{name}_shape", taken), _fresh(f"{name}_same", taken)
                    zeros = np.zeros(rank, np.int64)  # of Reshape: the size that is there
                    graph.initializer.append(numpy_helper.from_array(zeros, shape))
                    nodes.append(helper.make_node("Reshape", [name, shape], [same], name=same))
                    node.input[side] = same
                    added += 1
        nodes.append(node)
    if added:
        copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)
    return added


def _turned(name: str, made_by: dict[str, Any]) -> int:
    """Return the rank of a value whose first axis a Transpose brought to the end; 0 of others."""
    node = made_by.get(name)
    while node is not None and node.op_type in _SEEN_THROUGH:
        node = next((found for source in node.input if (found := made_by.get(source))), None)
    if node is None or node.op_type != "Transpose":
        return 0
    perm = next((list(a.ints) for a in node.attribute if a.name == "perm"), [])
    rank = len(perm)
    first = perm[: rank - 2] == list(range(1, rank - 1)) and 0 in perm[rank - 2 :]
    return rank if rank > 2 and first else 0


def _fresh(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
