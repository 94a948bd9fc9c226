"""Weights rounded in blocks of a row that share a scale, and packed for ONNX Runtime's kernels.

    w ≈ scale · (q - zero),  0 <= q < 2^bits

With 8 bits zero is 128. With 4 bits each block has its own, and a range that holds all its weights
is rarely the one with the least squared error: narrower ones are tried too, and with each the scale
is set to the best one for the integers that it gave, <w, q - zero> / <q - zero, q - zero> (least
squares). On a sentence encoder's weights that is worth 2 dB over rounding to the largest.
"""

from __future__ import annotations

import msgspec
import numpy as np

from edgekit.tensors import Array

_AT_ONCE = 1 << 22
"""Weights that are looked at together: it bounds the memory that the search takes."""

_SHARES = (1.0, 0.95, 0.9, 0.85, 0.8)
"""The parts of a block's range that are tried."""

_SMALLEST = 16
_TOP_8, _MIDDLE_8, _TOP_4 = 127, 128, 15


class Blocks(msgspec.Struct, frozen=True):
    """A matrix in blocks: `integers` uint8 [N, blocks, size], not packed yet, equal to the zero
    where a row ended; `scales` float32 [N, blocks]; `zeros` uint8 [N, blocks], None where all are
    128.
    """

    integers: Array
    scales: Array
    zeros: Array | None


def block_size_for(depth: int, asked: int) -> int:
    """Return the size of blocks for rows of a length: a power of two from 16 to `asked`."""
    size = _SMALLEST
    while size < min(depth, asked):
        size *= 2
    return size


def round_blocks(rows: Array, size: int, *, bits: int) -> Blocks:
    """Round the rows of a matrix in blocks.

    Args:
        rows: float32 [N, K], finite.
        size: how many weights share a scale.
        bits: 4 or 8. With 8, all |q - 128| <= 127: what a kernel adds up in 16 bits stays there.
    """
    count, depth = rows.shape
    blocks = -(-depth // size)
    integers = np.empty((count, blocks, size), np.uint8)
    scales = np.empty((count, blocks), np.float32)
    zeros = np.full((count, blocks), _MIDDLE_8, np.uint8)
    step = max(1, _AT_ONCE // (blocks * size))
    for start in range(0, count, step):
        part = np.zeros((min(step, count - start), blocks * size), np.float32)
        part[:, :depth] = rows[start : start + step]
        here = slice(start, start + step)
        fit = _fit_4 if bits == 4 else _fit_8
        integers[here], scales[here], zeros[here] = fit(part.reshape(-1, blocks, size))
    return Blocks(integers, scales, zeros if bits == 4 else None)


def pack(integers: Array, *, bits: int) -> Array:
    """Put two integers of 4 bits into a byte along the last axis, the first in its low half."""
    if bits == 8:
        return integers
    if integers.shape[-1] % 2:
        padding = np.zeros((*integers.shape[:-1], 1), np.uint8)
        integers = np.concatenate([integers, padding], axis=-1)
    packed: Array = integers[..., 0::2] | (integers[..., 1::2] << 4)
    return packed


def _fit_8(part: Array) -> tuple[Array, Array, int]:
    scale = _usable(np.abs(part).max(axis=-1) / _TOP_8)
    steps = np.clip(np.rint(part / scale[..., None]), -_TOP_8, _TOP_8)
    return (steps + _MIDDLE_8).astype(np.uint8), scale, _MIDDLE_8


def _fit_4(part: Array) -> tuple[Array, Array, Array]:
    # Squares of the weights themselves might leave float32's range.
    unit = _usable(np.abs(part).max(axis=-1))
    part = part / unit[..., None]
    low, high = part.min(axis=-1), part.max(axis=-1)
    middle, half = (low + high) / 2, (high - low) / 2
    integers = np.zeros(part.shape, np.uint8)
    scales, zeros = np.ones(low.shape, np.float32), np.zeros(low.shape, np.uint8)
    least = np.full(low.shape, np.inf)
    for share in _SHARES:
        # 0 must have an integer: it is what pads a row, and what a sparse one is full of.
        bottom = np.minimum(middle - share * half, 0)
        scale = _usable((np.maximum(middle + share * half, 0) - bottom) / _TOP_4)
        zero = np.clip(np.rint(-bottom / scale), 0, _TOP_4)
        tried = np.clip(np.rint(part / scale[..., None]) + zero[..., None], 0, _TOP_4)
        steps = tried - zero[..., None]
        scale = _usable((part * steps).sum(axis=-1) / np.maximum((steps**2).sum(axis=-1), 1))
        error = ((part - steps * scale[..., None]) ** 2).sum(axis=-1)
        better = error < least
        integers = np.where(better[..., None], tried.astype(np.uint8), integers)
        scales = np.where(better, scale, scales)
        zeros = np.where(better, zero.astype(np.uint8), zeros)
        least = np.where(better, error, least)
    return integers, _usable(scales * unit), zeros


def _usable(scale: Array) -> Array:
    """Keep scales away from 0, where they would divide by nothing or lie below float32's range."""
    tiny = np.finfo(np.float32).tiny
    found: Array = np.where(np.abs(scale) < tiny, np.float32(1), scale).astype(np.float32)
    return found
