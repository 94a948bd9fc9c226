"""How many pairs of numbers an operator multiplies and adds up (MACs), each by its definition.

Shapes are those of ONNX's own operators (onnx.ai/onnx/operators) and of ONNX Runtime's
(docs/ContribOperators.md in its repository): (B, S) are batch and length, H a hidden size, L the
length that is attended to.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from edgekit.graph.sized import SizedNode


def multiply_adds(node: SizedNode) -> int | None:
    """Count the pairs that a node multiplies; None where it is no product, or sizes are missing."""
    formula = _FORMULAS.get(node.operator)
    return formula(node) if formula is not None else None


def _conv(node: SizedNode) -> int | None:
    """Every output element sums up a kernel over its group's channels: |Y| · C/g · kH · kW."""
    weight, out = node.input(3 if node.operator == "QLinearConv" else 1), node.output()
    return out.elements * math.prod(weight.shape[1:]) if weight and out else None


def _conv_transpose(node: SizedNode) -> int | None:
    """Every input element goes into a kernel of its group's outputs: |X| · M/g · kH · kW."""
    x, weight = node.input(0), node.input(1)
    return x.elements * math.prod(weight.shape[1:]) if weight and x else None


def _product(node: SizedNode) -> int | None:
    """Every output element sums up a row by a column of length K: |Y| · K."""
    a, out = node.input(0), node.output()
    if a is None or out is None or not a.shape:
        return None
    turned = node.attributes.get("transA", 0) and len(a.shape) > 1
    return out.elements * (a.shape[-2] if turned else a.shape[-1])


def _blocks(node: SizedNode) -> int | None:
    """As a product; K is told, since the weights are packed."""
    out, k = node.output(), node.attributes.get("K")
    return out.elements * int(k) if out and k else None


def _einsum(node: SizedNode) -> int | None:
    """One pair for every combination of all letters (two operands and more); ``...`` isn't known.

    That is the sum as it is written; several operands may be summed in a cheaper order.
    """
    equation = str(node.attributes.get("equation", "")).replace(" ", "")
    terms = equation.partition("->")[0].split(",")
    if "." in equation or len(terms) != len(node.inputs):
        return None
    sizes: dict[str, int] = {}
    for term, one in zip(terms, node.inputs, strict=True):
        if one is None or len(term) != len(one.shape):
            return None
        for letter, size in zip(term, one.shape, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    return math.prod(sizes.values()) * (len(terms) - 1)


def _recurrent(node: SizedNode) -> int | None:
    """Each step of each row goes through W and R once: S · B · (|W| + |R|), all directions in them.

    Steps behind a row's own length (`sequence_lens`) are counted, too.
    """
    x, w, r = (node.input(place) for place in range(3))
    return x.shape[0] * x.shape[1] * (w.elements + r.elements) if x and w and r else None


def _projected_attention(node: SizedNode) -> int | None:
    """Attention with its projection: B·S·(I·(Hq + Hk + Hv) + L·(Hq + Hv))."""
    x, weight, out = node.input(0), node.input(1), node.output()
    if x is None or weight is None or out is None:
        return None
    past = node.input(8 if node.operator == "QAttention" else 4)
    batch, steps, _ = x.shape
    attended = steps + (past.shape[-2] if past else 0)
    values = out.shape[-1]
    queries = (weight.shape[-1] - values) // 2
    return batch * steps * (weight.elements + attended * (queries + values))


def _attention(node: SizedNode) -> int | None:
    """Scores and their sum over the values, the products before and behind apart: B·S·L·(Hq + Hv).

    Where only what came before is looked at (causal), half of that would do; kernels differ.
    """
    query, key, out = node.input(0), node.input(1), node.output()
    if query is None or out is None:
        return None
    if len(query.shape) == 5:  # (B, S, N, 3, h): all three in one
        batch, steps, heads, _, size = query.shape
        return batch * steps * steps * 2 * heads * size
    present = node.output(1)
    if present is not None and len(present.shape) == 4:  # (B, N, L, h): with what is kept
        attended = present.shape[2]
    elif key is not None:
        attended = key.shape[2] if len(key.shape) == 4 else key.shape[1]
    else:
        return None
    return attended * (query.elements + out.elements)


_PRODUCTS = (
    *("Gemm", "FusedGemm", "MatMul", "FusedMatMul", "GemmFloat8", "TransposeMatMul"),
    *("QGemm", "QLinearMatMul", "MatMulInteger", "MatMulInteger16", "MatMulIntegerToFloat"),
    "DynamicQuantizeMatMul",
)
_FORMULAS: dict[str, Callable[[SizedNode], int | None]] = {
    **dict.fromkeys(("Conv", "FusedConv", "NhwcFusedConv", "ConvInteger", "QLinearConv"), _conv),
    **dict.fromkeys(("ConvTranspose", "ConvTransposeWithDynamicPads"), _conv_transpose),
    **dict.fromkeys(_PRODUCTS, _product),
    **dict.fromkeys(("MatMulNBits", "MatMulBnb4"), _blocks),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"), _recurrent),
    **dict.fromkeys(("QAttention",), _projected_attention),
    **dict.fromkeys(("MultiHeadAttention", "GroupQueryAttention"), _attention),
    "Einsum": _einsum,
    # Two operators of one name: ONNX Runtime's own multiplies by the weights as well.
    "Attention": lambda n: (_projected_attention if n.domain else _attention)(n),
}


def is_product(operator: str) -> bool:
    """Tell whether an operator multiplies and adds up."""
    return operator in _FORMULAS
