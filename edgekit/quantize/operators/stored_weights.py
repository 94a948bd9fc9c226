"""Weights that are integers in the file alone: 8 bits, spelled out as float32 when it is loaded.

    Conv(x, W) ─▶ y            ▶            q ─▶ Cast ─▶ Mul(scales) ─▶ Conv(x, ·) ─▶ y

ONNX Runtime folds a Cast and a Mul of constants while it loads them, so that the node runs as fast
as it did. It folds no DequantizeLinear: that would run at each call, and keep a convolution from
the layout that is fastest on its processor (measured: half as slow again).
"""

from __future__ import annotations

import math
from typing import Any

from edgekit.quantize.operators.rewriting import Rewriting
from edgekit.quantize.weights import as_int8
from edgekit.tensors import Array

_LEAST = 1024
"""Weights with fewer elements stay: nothing is to be had of them."""

_MATRICES = frozenset({"Attention", "FusedMatMul", "Gemm", "MatMul"})
"""Operators whose second input is a matrix with a sum for each column."""

_ONE_AXIS = frozenset({"Conv", "ConvTranspose", "Einsum"})
"""Operators of whose weights the first axis alone counts channels."""


def store_in_8_bits(rewriting: Rewriting, node: Any, *, positions: tuple[int, ...]) -> str | None:
    """Replace the weights of a node, the node itself stays as it is.

    Args:
        rewriting: the model.
        node: a node with weights, each with at least two dimensions.
        positions: where they are among its inputs.

    Returns:
        "" where at least one was replaced, else why not, None where there is none.

    Raises:
        ModelFileError: a weight has NaN or infinite numbers.
    """
    inputs = list(node.input)
    found: dict[int, Any] = {}
    why = None
    for index in positions:
        array = rewriting.array(inputs[index]) if index < len(inputs) else None
        if array is None:
            continue
        if array.size < _LEAST or array.ndim < 2:
            why = f"its weight of {array.size} elements is too small to gain by it"
        else:
            found[index] = array
    if not found:
        return why
    rewriting.begin(node)
    for index, array in found.items():
        name = inputs[index]
        integers, scales = _rounded(array, node, index)
        # Nodes that share a weight share what is spelled out of it.
        key = (name, *map(str, scales.shape))
        if key not in rewriting.spelled_out:
            stored = rewriting.constant(f"{name}_int8", integers)
            numbers = rewriting.add("Cast", [stored], attributes={"to": 1})[0]
            scale = rewriting.constant(f"{name}_scale", scales)
            rewriting.spelled_out[key] = rewriting.add("Mul", [numbers, scale])[0]
        inputs[index] = rewriting.spelled_out[key]
    rewriting.again(inputs)
    return ""


def _rounded(array: Array, node: Any, index: int) -> tuple[Array, Array]:
    """Round a weight, a scale for each sum that its node makes, shaped to be multiplied by."""
    options = {attribute.name: attribute for attribute in node.attribute}
    columns = node.op_type in _MATRICES and index == 1
    if "transB" in options and options["transB"].i:
        columns = False
    view = array.swapaxes(-1, -2) if columns else array
    leading = 1 if node.op_type in _ONE_AXIS else view.ndim - 1
    kept = view.shape[:leading]
    integers, scales = as_int8(view.reshape(math.prod(kept), -1), axis=0)
    integers, scales = (
        integers.reshape(view.shape),
        scales.reshape(*kept, *[1] * (view.ndim - leading)),
    )
    if columns:
        integers, scales = integers.swapaxes(-1, -2), scales.swapaxes(-1, -2)
    return integers, scales
