"""Products of a value and constant weights, with the bias behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from edgekit.optimize import graphs


@dataclass(frozen=True)
class Product:
    """x @ weight + bias in float32: `x` [..., K], `weight` [K, N], `bias` [N] or None.

    `output` is the sum's value, or the product's where there is no bias; `nodes` are both.
    """

    x: ir.Value
    weight: Any
    bias: Any | None
    output: ir.Value
    nodes: tuple[ir.Node, ...]


def product_at(output: ir.Value | None) -> Product | None:
    """Read `output` as a product of constant weights, an added bias included."""
    added = graphs.made_by(output, "Add")
    if added is not None:
        for one, other in ((0, 1), (1, 0)):
            matmul = graphs.made_by(added.inputs[one], "MatMul")
            bias = graphs.constant(added.inputs[other])
            if matmul is None or bias is None or graphs.only_use(matmul.outputs[0]) is None:
                continue
            found = _of(matmul)
            if found is not None and bias.shape == (found.weight.shape[1],):
                return Product(found.x, found.weight, bias, added.outputs[0], (matmul, added))
        return None
    matmul = graphs.made_by(output, "MatMul")
    return _of(matmul) if matmul is not None else None


def _of(matmul: ir.Node) -> Product | None:
    x, weight = matmul.inputs[0], graphs.constant(matmul.inputs[1])
    if x is None or weight is None or weight.ndim != 2 or weight.dtype != np.float32:
        return None
    return Product(x, weight, None, matmul.outputs[0], (matmul,))


def product_ending(matmul: ir.Node) -> Product | None:
    """Read a MatMul as a product, with the bias that is added to it and nothing else taken in."""
    user = graphs.only_use(matmul.outputs[0])
    if user is not None and user.op_type == "Add" and not user.domain:
        found = product_at(user.outputs[0])
        if found is not None and found.nodes[0] is matmul:
            return found
    return _of(matmul)
