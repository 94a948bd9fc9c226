"""How far each activation's outliers should move into the weights, worked out from both.

Rounding gives a product Y = X W noise from either side. With scales as they are after smoothing by
an exponent (`edgekit.quantize.measuring.smoothing`), x'_j = x_j / s_j and w'_jn = w_jn s_j, it is
about

    (reach of x' / 255)² / 12 · Σ_jn w'_jn²   +   Σ_n (max_j |w'_jn| / 127)² / 12 · Σ_j E[x'_j²]

for steps of 255 levels in X and 127 a side in each column of W. Every exponent is tried, none among
them, and the quietest taken, for each value by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import numpy_helper

from edgekit.quantize.elements import label
from edgekit.tensors import Array

EXPONENTS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Those that are tried; with 0 nothing is moved."""

WORTH = 0.5
"""An exponent is taken where it leaves at most this share of the noise: it may cost a node."""

_SPREAD = 3.0
"""How many times a channel's usual size its largest is."""


def exponent_of(maxima: Array, weights: Sequence[Array], *, bits: int = 8) -> float:
    """Choose the exponent for a value.

    Args:
        maxima: the largest |x| of each channel, [channels].
        weights: of every node that reads it, [channels, columns] each.
        bits: of weights.

    Returns:
        One of `EXPONENTS`.
    """
    noises = {alpha: _noise(maxima, weights, alpha, 2 ** (bits - 1) - 1) for alpha in EXPONENTS}
    best = min(noises, key=lambda alpha: noises[alpha])
    return best if noises[best] <= WORTH * noises[0.0] else 0.0


def weights_behind(model: Any, readers: Mapping[str, Sequence[str]]) -> dict[str, list[Array]]:
    """Collect what multiplies each value, channels first.

    Args:
        model: its weights loaded.
        readers: the labels of the MatMul and Gemm that read each value (`smoothing.smoothable`).
    """
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = {label(node): node for node in model.graph.node}
    found: dict[str, list[Array]] = {}
    for value, labels in readers.items():
        found[value] = []
        for name in labels:
            node = nodes[name]
            weight = numpy_helper.to_array(stored[node.input[1]])
            turned = any(a.name == "transB" and a.i for a in node.attribute)
            found[value].append(weight.T if turned else weight)
    return found


def _noise(maxima: Array, weights: Sequence[Array], alpha: float, top: int) -> float:
    largest = np.max([np.abs(w).max(axis=1, initial=0.0) for w in weights], axis=0)
    alive = (maxima > 0) & (largest > 0)
    scale = np.ones(len(maxima))
    if alpha:
        scale[alive] = maxima[alive] ** alpha / largest[alive] ** (1.0 - alpha)
    reach = 2 * float((maxima / scale).max(initial=0.0))
    energy = float(((maxima / scale / _SPREAD) ** 2).sum())
    total = 0.0
    for weight in weights:
        moved = weight * scale[:, None]
        total += (reach / 255) ** 2 * float((moved**2).sum())
        total += float(((np.abs(moved).max(axis=0, initial=0.0) / top) ** 2).sum()) * energy
    return total
