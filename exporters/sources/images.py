"""Example images for models that want normalised pixels, channel first."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from exporters.exportable import Normalization

_BYTE = 255
_GRID = 1000.0
"""Ends of ranges are widened by a thousandth or two: rounding to float32 steps over none."""


def pixel_range(normalization: Normalization) -> tuple[float, float]:
    """Bound the numbers that pixels of 0 to 255 become in any channel."""
    ends = [
        (pixel * normalization.scale - mean) / std
        for mean, std in _channels(normalization)
        for pixel in (0, _BYTE)
    ]
    return (math.floor(min(ends) * _GRID) - 1) / _GRID, (math.ceil(max(ends) * _GRID) + 1) / _GRID


def example_images(normalization: Normalization, size: Sequence[int]) -> torch.Tensor:
    """Draw two images of random pixels, normalised: float32 of [2, channels, height, width]."""
    pixels = torch.randint(0, _BYTE + 1, (2, *size)).float()
    mean, std = (
        torch.tensor(values).reshape(-1, 1, 1) for values in (normalization.mean, normalization.std)
    )
    return (pixels * normalization.scale - mean) / std


def _channels(normalization: Normalization) -> list[tuple[float, float]]:
    count = max(len(normalization.mean), len(normalization.std))
    mean, std = (
        values * count if len(values) == 1 else values
        for values in (normalization.mean, normalization.std)
    )
    return list(zip(mean, std, strict=True))
