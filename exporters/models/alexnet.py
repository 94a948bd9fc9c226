"""AlexNet, the first large network: five convolutions, three linear layers, 61 million weights.

In the form of one column (Krizhevsky, 2014, "One weird trick for parallelizing convolutional neural
networks"), which is the one in use: 64, 192, 384, 256 and 256 channels, without the local response
normalization of 2012. Its published weights need a network, so it comes with random ones, which
cost as much time and memory: with them it has no accuracy, and is judged by closeness.

`images=digits` is the same row of layers for 28×28 digits, with 3×3 kernels, strides that leave
something of a small image, and a quarter of the channels. That one is trained.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgekit.errors import UnknownName
from edgekit.terms import AlexNetImages, members
from exporters.datasets import digits
from exporters.digit_readers import image_reader
from exporters.exportable import Exportable, Normalization
from exporters.training import Course, seeded

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES = 1000


class AlexNet(nn.Module):
    """3×224×224 → five convolutions, three poolings → 256×6×6 → linear 4096, 4096, 1000."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2)),
            *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2)),
            *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, stride=2)),
        )
        self.classifier = classifier(256 * 6 * 6, 4096, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        """Return float32 scores of [batch, 1000] for float32 images of [batch, 3, 224, 224]."""
        scores: Tensor = self.classifier(self.features(image).flatten(1))
        return scores


class SmallAlexNet(nn.Module):
    """3×28×28 → five convolutions, three poolings → 64×3×3 → linear 256, 256, 10."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 48, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(48, 96, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(96, 64, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        )
        self.classifier = classifier(64 * 3 * 3, 256, digits.CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        """Return float32 scores of [batch, 10] for float32 images of [batch, 3, 28, 28]."""
        scores: Tensor = self.classifier(self.features(image).flatten(1))
        return scores


def alexnet(
    *, images: AlexNetImages = "photographs", seed: int = 0, epochs: int = 10
) -> Exportable:
    """Make AlexNet with random weights; or the small one, trained on 3,500 digits or kept so.

    The small one reads at least 97 % of the 1,500 held-out digits right. `seed` decides the first
    weights, the order of the digits and how each is shifted; `epochs` is of no matter to
    photographs.

    Raises:
        UnknownName: `images` is neither photographs nor digits.
        MissingExtra: the package that ships the digits isn't installed.
        BadValue: fewer than one epoch.
    """
    if images not in members(AlexNetImages):
        raise UnknownName(kind="images", asked=images, available=list(members(AlexNetImages)))
    with seeded(seed):
        if images == "photographs":
            return _for_photographs(AlexNet())
        module = SmallAlexNet()
    return image_reader("alexnet", module, Course(epochs, lr=2e-3, shift=2, seed=seed))


def classifier(inputs: int, hidden: int, classes: int) -> nn.Sequential:
    """Make the three linear layers; half of what goes into the first two is dropped in training."""
    return nn.Sequential(
        *(nn.Dropout(), nn.Linear(inputs, hidden), nn.ReLU()),
        *(nn.Dropout(), nn.Linear(hidden, hidden), nn.ReLU()),
        nn.Linear(hidden, classes),
    )


def _for_photographs(module: AlexNet) -> Exportable:
    darkest = min((0 - mean) / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True))
    lightest = max((1 - mean) / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True))
    return Exportable(
        module.eval(),
        (torch.empty(2, 3, 224, 224).uniform_(darkest, lightest),),
        input_names=["image"],
        output_names=["logits"],
        dynamic={"image": ("batch:1..16", None, None, None)},
        values={"image": (darkest, lightest)},
        preprocessing="RGB photographs, the middle 224×224: divide by 255, take off the mean "
        "(0.485, 0.456, 0.406), divide by the standard deviation (0.229, 0.224, 0.225)",
        normalization=Normalization("image", IMAGENET_MEAN, IMAGENET_STD),
        name="alexnet",
    )
