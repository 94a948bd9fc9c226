"""Blocks of weights: what is stored stands for what was given, and as near as it can."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.quantize.operators.blocks import Blocks, block_size_for, pack, round_blocks


def spelled_out(blocks: Blocks, depth: int) -> Any:
    zeros = np.float32(128) if blocks.zeros is None else blocks.zeros[..., None].astype(np.float32)
    weights = (blocks.integers - zeros) * blocks.scales[..., None]
    return weights.reshape(len(weights), -1)[:, :depth], weights.reshape(len(weights), -1)[
        :, depth:
    ]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 5),
    depth=st.integers(1, 80),
    size=st.sampled_from([16, 32, 64]),
    bits=st.sampled_from([4, 8]),
    shift=st.floats(-3, 3),
    scale=st.sampled_from([1e-30, 1e-3, 1.0, 1e20]),
    seed=st.integers(0, 999),
)
def test_no_block_is_further_off_than_a_step(
    rows: int, depth: int, size: int, bits: int, shift: float, scale: float, seed: int
) -> None:
    drawn = np.random.default_rng(seed).standard_normal((rows, depth))
    weights = ((drawn + shift) * scale).astype(np.float32)
    blocks = round_blocks(weights, size, bits=bits)
    found, padding = spelled_out(blocks, depth)
    assert np.isfinite(blocks.scales).all()
    assert not padding.any()
    padded = np.zeros(blocks.integers.shape, np.float32).reshape(rows, -1)
    padded[:, :depth] = weights
    padded = padded.reshape(blocks.integers.shape).astype(np.float64)
    missing = np.zeros_like(padded).reshape(rows, -1)
    missing[:, :depth] = found.astype(np.float64) - weights
    missing = np.linalg.norm(missing.reshape(padded.shape), axis=-1)
    span = np.maximum(padded.max(axis=-1), 0) - np.minimum(padded.min(axis=-1), 0)
    step = 2 * np.abs(padded).max(axis=-1) / 254 if bits == 8 else span / 15
    assert (missing <= np.sqrt(size) * step * 1.001 + 1e-37).all()


def test_eight_bits_never_use_the_lowest_integer() -> None:
    weights = -np.abs(np.random.default_rng(0).standard_normal((8, 64))).astype(np.float32)
    blocks = round_blocks(weights, 16, bits=8)
    assert blocks.integers.min() == 1
    assert blocks.zeros is None


def test_search_beats_rounding_to_the_largest() -> None:
    weights = np.random.default_rng(0).standard_normal((64, 256)).astype(np.float32)
    found, _ = spelled_out(round_blocks(weights, 32, bits=4), 256)
    parts = weights.reshape(64, -1, 32)
    scale = np.abs(parts).max(axis=-1, keepdims=True) / 7
    plain = (np.rint(parts / scale) * scale).reshape(weights.shape)
    assert np.square(found - weights).sum() < 0.75 * np.square(plain - weights).sum()


@pytest.mark.parametrize("bits", [4, 8])
def test_zeros_stay_zeros(bits: int) -> None:
    found, _ = spelled_out(round_blocks(np.zeros((3, 40), np.float32), 16, bits=bits), 40)
    assert not found.any()


def test_packing_puts_the_first_of_two_into_the_low_half() -> None:
    packed = pack(np.array([[1, 2, 3]], np.uint8), bits=4)
    assert packed.tolist() == [[1 + 16 * 2, 3]]
    assert pack(np.array([[1, 200]], np.uint8), bits=8).tolist() == [[1, 200]]


@pytest.mark.parametrize(
    ("depth", "asked", "size"), [(7, 128, 16), (33, 128, 64), (128, 32, 32), (4096, 128, 128)]
)
def test_block_is_no_longer_than_a_row_needs(depth: int, asked: int, size: int) -> None:
    assert block_size_for(depth, asked) == size


def test_rows_are_rounded_the_same_in_parts_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgekit.quantize.operators import blocks

    weights = np.random.default_rng(0).standard_normal((9, 48)).astype(np.float32)
    whole = round_blocks(weights, 16, bits=4)
    monkeypatch.setattr(blocks, "_AT_ONCE", 96)
    parts = round_blocks(weights, 16, bits=4)
    assert np.array_equal(whole.integers, parts.integers)
    assert np.array_equal(whole.scales, parts.scales)
