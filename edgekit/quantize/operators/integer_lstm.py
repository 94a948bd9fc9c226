"""LSTM in integers: ONNX Runtime's own DynamicQuantizeLSTM.

    x ─▶ LSTM(W, R, B, …) ─▶ y, h, c   ▶   x ─▶ DynamicQuantizeLSTM(Wᵀ, Rᵀ, B, …, scales) ─▶ y, h, c

Its weights are turned, [directions, inputs, 4·hidden]; what goes in, and the hidden state at each
step, get their range as they come. Everything else stays: bias, sizes of the sequences, states,
peepholes, direction, clipping. There is no such kernel for GRU and RNN.

Weights have one scale where rounding by it moves no column by more than 5 % of itself, 26 dB, and
else one a column. One is a ninth faster (measured on a layer of 128: 36 µs for 42); it holds for an
LSTM that reads digits (29 dB in its worst column), and not for a speaker encoder's (2 to 24 dB).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import helper

from edgekit.package.values import QuantRules
from edgekit.quantize.operators.products import SMALLEST
from edgekit.quantize.operators.rewriting import CONTRIB, Rewriting
from edgekit.quantize.weights import as_int8
from edgekit.tensors import Array

FINE_DB = 26.0
"""Where one scale in all moves a column by 5 % of itself, each column gets its own."""

_INPUTS = 8
_WEIGHTS = {1: "W", 2: "R"}


def refuses_lstm(rewriting: Rewriting, node: Any) -> str:
    """Say why an LSTM must stay in float, empty where it needn't.

    Raises:
        ModelFileError: its weights have NaN or infinite numbers.
    """
    if any(attribute.name == "layout" and attribute.i for attribute in node.attribute):
        return "ONNX Runtime's kernel takes no batch-first layout"
    for index, called in _WEIGHTS.items():
        array = rewriting.array(node.input[index])
        if array is None:
            return f"its {called} is computed while it runs"
        if array.ndim != 3:
            return f"its {called} hasn't three dimensions"
        if called == "R" and array.shape[2] < SMALLEST:
            return f"its state of {array.shape[2]} is too small to gain by it"
    return ""


def replace_lstm(rewriting: Rewriting, node: Any, *, rules: QuantRules) -> None:
    """Replace an LSTM that `refuses_lstm` has nothing against."""
    rewriting.begin(node)
    inputs = [*node.input, *[""] * (_INPUTS - len(node.input))]
    weights = {index: rewriting.array(node.input[index]) for index in _WEIGHTS}
    each = rules.per_channel and any(
        array is not None and coarsest_db(array, bits=rules.weight_bits) < FINE_DB
        for array in weights.values()
    )
    for index, array in weights.items():
        name = node.input[index]
        assert array is not None, "refuses_lstm has seen it"
        integers, scales = _directions(array, rules, per_channel=each)
        inputs[index] = rewriting.constant(f"{name}_int8", integers)
        inputs += [
            rewriting.constant(f"{name}_scale", scales),
            rewriting.constant(f"{name}_zero", np.zeros(scales.shape, np.int8)),
        ]
    rewriting.add(
        "DynamicQuantizeLSTM",
        inputs,
        outputs=list(node.output),
        domain=CONTRIB,
        attributes=_options(node),
    )


def coarsest_db(array: Array, *, bits: int) -> float:
    """Say how well one scale a direction holds weights [D, N, K]: the SQNR in dB of that of the N
    rows, not all zero, that it holds worst; infinite where it is exact."""
    worst = math.inf
    for one in array.astype(np.float64):
        integers, scale = as_int8(one, axis=None, bits=bits)
        power = (one**2).sum(axis=1)
        noise = ((integers * np.float64(scale) - one) ** 2).sum(axis=1)
        told = (power > 0) & (noise > 0)
        worst = min(worst, float((power[told] / noise[told]).min(initial=math.inf)))
    return 10 * math.log10(worst) if math.isfinite(worst) else math.inf


def _directions(array: Array, rules: QuantRules, *, per_channel: bool) -> tuple[Array, Array]:
    """Round and turn the weights of each direction: int8 [D, K, N], scales [D, N] or [D]."""
    axis = 0 if per_channel else None
    pairs = [as_int8(one, axis=axis, bits=rules.weight_bits) for one in array]
    return np.stack([integers.T for integers, _ in pairs]), np.stack([scale for _, scale in pairs])


def _options(node: Any) -> dict[str, Any]:
    return {
        attribute.name: helper.get_attribute_value(attribute)
        for attribute in node.attribute
        if attribute.name != "layout"
    }
