"""Nodes that multiply by a weight: where their weight, bias and activation stand.

Those are where integers gain: `Conv`, `ConvTranspose`, `Gemm` and `MatMul`. Each has a scale an
output channel where the rules say so, along the axis of its weight that leads there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from edgekit.tensors import Array

MULTIPLYING = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})

RECURRENT = frozenset({"GRU", "LSTM", "RNN"})
"""Operators that hold weights and that no Q/DQ reaches: ONNX Runtime has no such integer kernel."""


class Multiplying(msgspec.Struct, frozen=True):
    """How a node multiplies: positions of its inputs, and the axis of its weight's channels.

    `alpha` and `beta` are Gemm's factors of the product and of the bias. `columns` counts the
    output channels.
    """

    activation: int
    weight: int
    bias: int | None
    axis: int | None
    columns: int
    alpha: float = 1.0
    beta: float = 1.0


def multiplying(node: Any, weights: Mapping[str, Array]) -> Multiplying | str:
    """Read how a node multiplies, or say why its weights can't become integers.

    Args:
        node: a node whose operator is one of `MULTIPLYING`.
        weights: the graph's float32 constants.
    """
    if node.op_type == "MatMul":
        return _matmul(node, weights)
    weight = weights.get(node.input[1])
    if weight is None:
        return "its weight is computed, or not float32"
    bias = node.input[2] if len(node.input) > 2 and node.input[2] else None
    if bias is not None and bias not in weights:
        return "its bias is computed, or not float32"
    if node.input[0] in weights:
        return "both of its sides are constants"
    if node.op_type == "Gemm":
        return _gemm(node, weight, None if bias is None else weights[bias])
    return _convolution(node, weight, bias is not None)


def bias_row(bias: Array, columns: int) -> Array | None:
    """Return a bias as one number a column; None where it has more, a row of its own each."""
    if bias.size == 1:
        return bias.reshape(1).repeat(columns)
    return bias.reshape(-1) if bias.size == columns == bias.shape[-1] else None


def _convolution(node: Any, weight: Array, has_bias: bool) -> Multiplying:
    axis: int | None = 0
    columns = weight.shape[0]
    if node.op_type == "ConvTranspose":
        group = next((a.i for a in node.attribute if a.name == "group"), 1)
        columns = weight.shape[1] * group
        # With groups an index of its channels is one in each of them: one scale for all.
        axis = 1 if group == 1 else None
    return Multiplying(
        activation=0, weight=1, bias=2 if has_bias else None, axis=axis, columns=columns
    )


def _matmul(node: Any, weights: Mapping[str, Array]) -> Multiplying | str:
    left, right = node.input
    if right not in weights:
        return (
            "its weight stands on the left" if left in weights else "it multiplies two activations"
        )
    if left in weights:
        return "both of its sides are constants"
    weight = weights[right]
    if weight.ndim < 2:
        return "its weight is a single column"
    # Of a stack of matrices kernels know one scale for all.
    axis = 1 if weight.ndim == 2 else None
    return Multiplying(activation=0, weight=1, bias=None, axis=axis, columns=weight.shape[-1])


def _gemm(node: Any, weight: Array, bias: Array | None) -> Multiplying | str:
    given = {attribute.name: attribute for attribute in node.attribute}
    turned = bool(given["transB"].i) if "transB" in given else False
    columns = weight.shape[0] if turned else weight.shape[1]
    if bias is not None and bias_row(bias, columns) is None:
        return "its bias has a row of its own for each row of the answer"
    return Multiplying(
        activation=0,
        weight=1,
        bias=None if bias is None else 2,
        axis=0 if turned else 1,
        columns=columns,
        alpha=given["alpha"].f if "alpha" in given else 1.0,
        beta=given["beta"].f if "beta" in given else 1.0,
    )
