"""How an image's pixels become the numbers that a model takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from edgekit.errors import BadValue, UnknownName


@dataclass(frozen=True)
class Normalization:
    """How pixels of uint8 become the numbers of an image input, channel by channel:

    (pixel · scale − mean) / std, then channel first. `input` names the image input, float32 of
    [batch, channel, height, width]. One mean or std for all channels, or one for each.
    """

    input: str
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    scale: float = 1 / 255


def check_normalization(given: Normalization, inputs: Mapping[str, Tensor]) -> None:
    """Hold the steps against the module's example inputs.

    Raises:
        UnknownName: it is of an input that isn't there.
        BadValue: that input is no image, or the numbers don't fit it.
    """
    if given.input not in inputs:
        raise UnknownName(kind="input", asked=given.input, available=list(inputs))
    image = inputs[given.input]
    _need(
        image.ndim == 4 and image.is_floating_point(),
        f"normalization of {given.input}",
        f"for {image.dtype} of {list(image.shape)}",
        "an image: floats of [batch, channel, height, width]",
    )
    for what, numbers in (("mean", given.mean), ("std", given.std)):
        _need(
            isinstance(numbers, Sequence)
            and len(numbers) in (1, image.shape[1])
            and all(math.isfinite(number) for number in numbers),
            f"normalization.{what}",
            repr(numbers),
            f"one finite number for all channels, or {image.shape[1]}, one for each",
        )
    _need(
        bool(given.scale) and math.isfinite(given.scale) and all(given.std),
        "normalization",
        f"with scale {given.scale} and std {given.std}",
        "numbers other than 0: pixels are multiplied by the one and divided by the other",
    )


def _need(holds: bool, what: str, asked: str, expected: str) -> None:
    if not holds:
        raise BadValue(what=what, asked=asked, expected=expected)
