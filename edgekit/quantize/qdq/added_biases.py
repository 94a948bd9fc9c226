"""Take biases into products of integers: one node where ONNX Runtime runs two.

    x ─▶ Q ─▶ DQ ─▶ MatMul ─▶ Add(b) ─▶ y    ▶    x ─▶ Q ─▶ MatMulIntegerToFloat(b) ─▶ y
              w ─▶ DQ ──┘                                          w ──┘

That is the kernel into which ONNX Runtime turns the MatMul, though without its bias: a transformer
of two blocks is 1.1 times as fast with them inside. And where all sizes are fixed it would make a
float Gemm of MatMul and Add before it looks at Q and DQ, which took a ViT's speed down by half.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from edgekit.quantize.elements import FLOAT
from edgekit.quantize.operators.rewriting import CONTRIB
from edgekit.quantize.qdq.islands import wiring_of

OPERATOR = "MatMulIntegerToFloat"


def take_in_biases(model: Any) -> int:
    """Replace, in place, every MatMul of integers and the Add of a stored bias behind it.

    Args:
        model: one in which `placing.place` has put Q and DQ, weights loaded.

    Returns:
        How many there are.
    """
    graph = model.graph
    nodes = list(graph.node)
    wiring = wiring_of(graph)
    rows = {t.name: t.dims[0] for t in graph.initializer if t.data_type == FLOAT and _is_row(t)}
    integers = {t.name: tuple(t.dims) for t in graph.initializer}

    def back(name: str) -> Any:
        """Find the DequantizeLinear that makes a value."""
        maker = nodes[wiring.makers[name]] if name in wiring.makers else None
        return maker if maker is not None and maker.op_type == "DequantizeLinear" else None

    taken: dict[int, Any] = {}
    gone: set[int] = set()
    for index, node in enumerate(nodes):
        if node.op_type != "MatMul" or node.domain not in ("", "ai.onnx"):
            continue
        left, right = map(back, node.input)
        users = wiring.users.get(node.output[0], [])
        if left is None or right is None or len(users) != 1 or node.output[0] in wiring.outside:
            continue
        shape = integers.get(right.input[0], ())
        behind, position = users[0]
        add = nodes[behind]
        bias = add.input[1 - position] if add.op_type == "Add" else ""
        if len(shape) != 2 or rows.get(bias) != shape[1] or len(left.input) < 3:
            continue
        inputs = [left.input[0], right.input[0], left.input[1], right.input[1]]
        inputs += [left.input[2], right.input[2], bias]
        made = helper.make_node(OPERATOR, inputs, list(add.output), name=node.name, domain=CONTRIB)
        taken[behind] = made
        gone.add(index)
    if not taken:
        return 0
    kept = [taken.get(i, node) for i, node in enumerate(nodes) if i not in gone]
    used = {name for node in kept for name in node.input} | wiring.outside
    # What turned integers back for a MatMul alone has nobody left.
    kept = [n for n in kept if n.op_type != "DequantizeLinear" or n.output[0] in used]
    copies = [type(node).FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(copies)
    if not any(one.domain == CONTRIB for one in model.opset_import):
        model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
    return len(taken)


def _is_row(tensor: Any) -> bool:
    return len(tensor.dims) == 1 and bool(np.isfinite(numpy_helper.to_array(tensor)).all())
