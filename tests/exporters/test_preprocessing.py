from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor, nn

from edgekit.errors import BadValue, UnknownName
from edgekit.tensors import Array, Case, Dim
from exporters.exportable import Exportable, Normalization
from exporters.preprocessing import FromPixels, with_preprocessing

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PHOTO = Normalization("image", mean=MEAN, std=STD)


class Means(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image.mean((2, 3))


def normalised(pixels: Array) -> Array:
    """Do the steps as their definition says, in double."""
    image = (pixels.astype(np.float64) / 255 - np.array(MEAN)) / np.array(STD)
    return np.moveaxis(image, -1, 1)


def photo(pixels: Array, **given: Any) -> Exportable:
    image = torch.from_numpy(normalised(pixels).astype(np.float32))
    return Exportable(
        Means().eval(), (image,), input_names=["image"], **{"normalization": PHOTO, **given}
    )


@given(
    arrays.arrays(
        np.uint8, arrays.array_shapes(min_dims=3, max_dims=3, max_side=4).map(lambda s: (*s, 3))
    )
)
def test_pixels_are_scaled_shifted_and_put_channel_first(pixels: Array) -> None:
    module = FromPixels(nn.Identity(), PHOTO, dtype=torch.float32, key=None)
    image = module(torch.from_numpy(pixels)).numpy()
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, normalised(pixels), atol=1e-5)


@given(
    arrays.arrays(np.uint8, (2, 3, 4, 3)),
    st.sampled_from([PHOTO, Normalization("image"), Normalization("image", (0.5,), (0.5,))]),
)
def test_the_example_becomes_the_pixels_that_it_was_made_of(
    pixels: Array, normalization: Normalization
) -> None:
    made = FromPixels(nn.Identity(), normalization, dtype=torch.float32, key=None)
    image = made(torch.from_numpy(pixels))
    exportable = Exportable(Means(), (image,), normalization=normalization)
    assert isinstance(exportable.example, tuple)
    (back,) = with_preprocessing(exportable).example
    np.testing.assert_array_equal(back, pixels)


def test_dimensions_and_cases_follow_the_pixels() -> None:
    pixels = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)

    def cases() -> Iterator[Case]:
        yield Case({"image": normalised(pixels[:1]).astype(np.float32)}, label=7)

    made = with_preprocessing(
        photo(
            pixels,
            dynamic={"image": ["batch:1..8", None, "height", "width"]},
            evaluation=cases,
            calibration=cases,
        )
    )
    assert made.dynamic == {"image": ["batch:1..8", "height", "width", None]}
    assert made.values == {"image": (0.0, 255.0)}
    for read in (made.evaluation, made.calibration):
        assert read is not None
        (case,) = read()
        assert case.label == 7
        assert case.feed["image"].dtype == np.uint8
        np.testing.assert_array_equal(case.feed["image"], pixels[:1])


def test_a_module_called_by_keyword_is_fed_by_keyword() -> None:
    pixels = np.full((1, 2, 2, 3), 255, np.uint8)
    image = torch.from_numpy(normalised(pixels)).float()
    made = with_preprocessing(Exportable(Means(), {"image": image}, normalization=PHOTO))
    assert isinstance(made.example, tuple)
    torch.testing.assert_close(made.module(*made.example), image.mean((2, 3)))


def test_what_has_no_pixels_is_refused_with_the_way_to_say_it() -> None:
    pixels = np.zeros((1, 2, 2, 3), np.uint8)
    with pytest.raises(BadValue, match=r"Exportable\(normalization=Normalization"):
        with_preprocessing(photo(pixels, normalization=None))
    two = Exportable(
        nn.Bilinear(2, 2, 2),
        (torch.rand(1, 3, 2, 2), torch.rand(1, 3, 2, 2)),
        input_names=["image", "other"],
        normalization=PHOTO,
    )
    with pytest.raises(BadValue, match="with the inputs image, other"):
        with_preprocessing(two)


def test_the_variant_with_the_steps_is_verified_like_the_model_itself(attempt_here) -> None:  # type: ignore[no-untyped-def]
    pixels = np.arange(2 * 6 * 5 * 3, dtype=np.uint8).reshape(2, 6, 5, 3)
    exportable = photo(pixels)
    made = attempt_here(
        nn.Conv2d(3, 2, 3),
        exportable.example,
        input_names=["image"],
        dynamic={"image": ["batch"]},
        normalization=PHOTO,
        options={"with_preprocessing": True},
    )
    (image,) = made.done.signature.inputs
    assert (image.dtype, image.shape) == ("uint8", (Dim("batch"), 6, 5, 3))
    assert (made.done.suffix, made.done.model) == ("-uint8", "fp32-uint8.onnx")
    assert made.done.reference.file == "reference-uint8.safetensors"


def test_dimensions_typed_by_hand_are_those_of_the_model(attempt_here) -> None:  # type: ignore[no-untyped-def]
    pixels = np.arange(2 * 6 * 5 * 3, dtype=np.uint8).reshape(2, 6, 5, 3)
    made = attempt_here(
        nn.Conv2d(3, 2, 3),
        photo(pixels).example,
        input_names=["image"],
        normalization=PHOTO,
        options={
            "with_preprocessing": True,
            "dynamic": {"image": ["batch", None, "height:5..9", None]},
        },
    )
    assert made.done.signature.inputs[0].shape == (Dim("batch"), Dim("height", 5, 9), 5, 3)


@pytest.mark.parametrize(
    ("normalization", "problem"),
    [
        (Normalization("picture"), "no input 'picture'; there is: image"),
        (Normalization("image", mean=(0.5, 0.5)), "one finite number for all channels, or 3"),
        (Normalization("image", std=(1.0, 0.0, 1.0)), "numbers other than 0"),
        (Normalization("image", scale=0.0), "numbers other than 0"),
    ],
)
def test_steps_that_can_not_be_done_are_refused_when_they_are_stated(
    normalization: Normalization, problem: str
) -> None:
    with pytest.raises((BadValue, UnknownName), match=problem):
        photo(np.zeros((1, 2, 2, 3), np.uint8), normalization=normalization)


def test_only_images_have_pixels() -> None:
    with pytest.raises(BadValue, match=r"floats of \[batch, channel, height, width\]"):
        Exportable(nn.ReLU(), (torch.rand(2, 4),), normalization=Normalization("input"))
