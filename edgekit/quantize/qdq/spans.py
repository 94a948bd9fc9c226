"""From the range of an activation to its 8-bit integers.

    x ≈ scale · (q - zero_point)

Asymmetric integers spread over [low, high], widened to hold 0, so that 0 is exact (padding, and
Relu's zeros). Symmetric ones have zero point 0 and lose a half of their steps behind a Relu.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from edgekit.package.values import QuantRules

_TINIEST = 1e-30
"""No scale is smaller: multiplied by a weight's it must stay a normal float32."""


class Steps(msgspec.Struct, frozen=True):
    """How floats lie on 8-bit integers: a float32 `scale` above 0, and what stands for 0."""

    scale: float
    zero_point: int


def steps_of(low: float, high: float, *, rules: QuantRules, capped: bool = False) -> Steps:
    """Spread 8-bit integers over a range.

    Args:
        low, high: the range, both finite.
        rules: type and symmetry of activations.
        capped: no integer may stand for more than `high`, where something is cut off there.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if rules.symmetric:
        return Steps(_scale(max(-low, high) / 127), 0)
    lowest = 0 if rules.activation == "uint8" else -128
    scale = _scale((high - low) / 255)
    if capped and scale * 255 > high - low > _TINIEST * 255:
        scale = float(np.nextafter(np.float32(scale), np.float32(0)))
    return Steps(scale, round(min(max(-low / scale, 0.0), 255.0)) + lowest)


def usable(low: float, high: float) -> bool:
    """Tell whether a range can be spread over integers."""
    return math.isfinite(low) and math.isfinite(high) and low <= high and high - low < 1e37


def _scale(wanted: float) -> float:
    return float(np.float32(max(wanted, _TINIEST))) if wanted > 0 else 1.0
