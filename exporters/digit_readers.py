"""What the reference models that read digits share: how they learn, and what is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from exporters import training
from exporters.datasets import digits
from exporters.exportable import Exportable, Normalization
from exporters.training import Course, Form

CALIBRATION_CASES = 256


def image_reader(name: str, module: nn.Module, course: Course) -> Exportable:
    """Do what `digit_reader` does for a network that takes images of [batch, 3, 28, 28].

    Raises what `digit_reader` raises.
    """
    return digit_reader(
        name,
        module,
        course,
        form=_as_images,
        dynamic={"image": ("batch:1..64", None, None, None)},
        values={"image": digits.VALUES},
        preprocessing="grey digits of 28×28, ink 255 on paper 0: divide by 255, repeat 3 times",
        normalization=Normalization("image"),
    )


def _as_images(images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    return {"image": digits.as_image(images)}


def digit_reader(
    name: str,
    module: nn.Module,
    course: Course,
    *,
    form: Form,
    dynamic: Mapping[str, Sequence[str | int | None]],
    values: Mapping[str, tuple[float, float]],
    preprocessing: str,
    normalization: Normalization | None = None,
) -> Exportable:
    """Give `module` weights that read digits, from training or from the cache, and describe it.

    It returns scores of [batch, 10]. `form` makes its inputs, by name, of uint8 images of
    [n, 28, 28]; it must be a function that a module holds, so that another process finds it. The
    other arguments are `Exportable`'s. Whatever the course shows of the 3,500 digits to train
    with, the 1,500 held-out ones are what the module is evaluated on.

    Raises:
        MissingExtra: the package that ships the digits isn't installed.
        BadValue: fewer than one epoch.
    """
    data = digits.load()
    training.learn(
        module,
        name,
        images=data.train_images,
        labels=data.train_labels,
        course=course,
        form=form,
        data=f"{len(data.train_labels):,} digits",
    )
    example = {key: torch.from_numpy(array) for key, array in form(data.test_images[:2]).items()}
    first = slice(CALIBRATION_CASES)
    return Exportable(
        module,
        tuple(example.values()),
        input_names=list(example),
        output_names=["logits"],
        dynamic=dynamic,
        values=values,
        evaluation=partial(digits.cases, data.test_images, data.test_labels, form),
        calibration=partial(digits.cases, data.train_images[first], data.train_labels[first], form),
        dataset="digits",
        metric="top1",
        labels=digits.LABELS,
        preprocessing=preprocessing,
        normalization=normalization,
        name=name,
    )
