"""Weights as 8-bit integers: symmetric, with one scale for the whole or one a channel.

    w ≈ scale · q,  q = round(w / scale),  scale = max |w| / (2^(bits-1) - 1)

With 7 bits |q| <= 63, so two products with a uint8 add up to at most 2 · 255 · 63 = 32130, inside
16 bits: an instruction that adds pairs up there (x86's vpmaddubsw) never saturates.
"""

from __future__ import annotations

import numpy as np

from edgekit.tensors import Array

_TINIEST = float(np.finfo(np.float32).tiny)


def as_int8(array: Array, *, axis: int | None, bits: int = 8) -> tuple[Array, Array]:
    """Round float32 weights to int8 with zero point 0.

    Args:
        array: float32, of any shape.
        axis: the axis of the channels, each with a scale of its own; None for one scale in all.
        bits: 8, or 7 for |q| <= 63.

    Returns:
        The integers, of the same shape, and the float32 scales, [channels] or a scalar. All
        scales are finite and positive; of a channel of zeros it is 1.
    """
    top = 2 ** (bits - 1) - 1
    wide = array.astype(np.float64)
    others = None if axis is None else tuple(i for i in range(array.ndim) if i != axis % array.ndim)
    largest = np.abs(wide).max(axis=others, initial=0.0)
    scale = np.where(largest > 0, np.maximum(largest / top, _TINIEST), 1.0).astype(np.float32)
    spread = scale if others is None else np.expand_dims(scale, others)
    integers = np.clip(np.rint(wide / spread), -top, top).astype(np.int8)
    return integers, scale
