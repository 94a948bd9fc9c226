"""The steps from an image's pixels to a model's numbers, put in front of the model.

An app has images as most libraries decode them, uint8 of height × width × channel; a model wants
floats of channel × height × width, scaled and shifted. In the graph the steps are the same on
every device, and four times fewer bytes go in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgekit.errors import BadValue
from edgekit.tensors import Array, Case
from exporters.exportable import Exportable, Normalization

PIXEL_RANGE = (0.0, 255.0)


class FromPixels(nn.Module):
    """(pixel · scale − mean) / std, channel first, and then the module."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        module: nn.Module,
        normalization: Normalization,
        *,
        dtype: torch.dtype,
        key: str | None,
    ) -> None:
        super().__init__()
        self.module = module
        self.scale = normalization.scale
        self._key = key
        # As buffers they follow the module from one precision to another.
        self.register_buffer("mean", torch.tensor(normalization.mean, dtype=dtype))
        self.register_buffer("std", torch.tensor(normalization.std, dtype=dtype))

    def forward(self, pixels: Tensor) -> Any:
        """Answer uint8 pixels of [batch, height, width, channel] as the module answers images."""
        image = (pixels.to(self.mean.dtype) * self.scale - self.mean) / self.std
        image = image.permute(0, 3, 1, 2)
        return self.module(image) if self._key is None else self.module(**{self._key: image})


def with_preprocessing(exportable: Exportable) -> Exportable:
    """Return the same, fed with pixels: uint8 of [batch, height, width, channel].

    Example and cases become the pixels that their images came from, rounded to the nearest.

    Raises:
        BadValue: it doesn't say how pixels become its image, or has other inputs beside the image.
    """
    normalization = exportable.normalization
    if normalization is None:
        raise BadValue(
            what="pre-processing",
            asked="put in front here",
            expected="an exporter that says how pixels become its image: "
            'Exportable(normalization=Normalization("image", mean=…, std=…))',
        )
    inputs = exportable.inputs()
    name = normalization.input
    if list(inputs) != [name]:
        raise BadValue(
            what="pre-processing",
            asked=f"put in front of a model with the inputs {', '.join(inputs)}",
            expected=f"a model whose one input is the image {name}",
        )
    by_keyword = isinstance(exportable.example, Mapping) and not exportable.positional
    key = next(iter(exportable.example)) if by_keyword else None
    image = inputs[name]
    pixels = _pixels(image.detach().cpu().double().numpy(), normalization)
    axes = [*exportable.dynamic.get(name, ()), *[None] * 4][:4]
    return dataclasses.replace(
        exportable,
        module=FromPixels(exportable.module, normalization, dtype=image.dtype, key=key).eval(),
        example=(torch.from_numpy(pixels),),
        positional=0,
        input_names=[name],
        dynamic={name: [axes[0], axes[2], axes[3], axes[1]]},
        values={name: PIXEL_RANGE},
        evaluation=_of_pixels(exportable.evaluation, normalization),
        calibration=_of_pixels(exportable.calibration, normalization),
        normalization=None,
    )


def _of_pixels(
    cases: Callable[[], Iterator[Case]] | None, normalization: Normalization
) -> Callable[[], Iterator[Case]] | None:
    if cases is None:
        return None

    def converted() -> Iterator[Case]:
        for case in cases():
            pixels = _pixels(np.asarray(case.feed[normalization.input], np.float64), normalization)
            yield Case({normalization.input: pixels}, label=case.label)

    return converted


def _pixels(image: Array, normalization: Normalization) -> Array:
    """Undo the steps: the pixels, uint8, that an image of [batch, channel, height, width] is of."""
    last = np.moveaxis(image, 1, -1)
    pixels = (last * np.asarray(normalization.std) + np.asarray(normalization.mean)) / (
        normalization.scale
    )
    return np.ascontiguousarray(np.clip(np.rint(pixels), *PIXEL_RANGE).astype(np.uint8))
