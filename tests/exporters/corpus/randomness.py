"""Modules that draw random numbers."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import Tensor, nn

from exporters.exportable import Exportable

ROWS = {"x": ["n", None]}


class Noise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


def randn_like() -> Exportable:
    return Exportable(Noise(), (torch.randn(3, 5),), dynamic=ROWS)


class Latent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.linear(x)
        return mean, mean + torch.randn(x.shape[0], 4)


def one_output_is_random() -> Exportable:
    """A variational encoder: the mean can be held to the original, the sample can't."""
    return Exportable(Latent(), (torch.randn(3, 5),), dynamic=ROWS)


class Drops(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5, training=True)


def dropout_for_good() -> Exportable:
    return Exportable(Drops(), (torch.randn(3, 5),), dynamic=ROWS)


class Unset(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5)


def dropout_without_training() -> Exportable:
    """F.dropout is in training mode unless it is told otherwise: a common slip."""
    return Exportable(Unset(), (torch.randn(3, 5),), dynamic=ROWS)


class Bernoulli(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.bernoulli(torch.sigmoid(x))


def bernoulli() -> Exportable:
    return Exportable(Bernoulli(), (torch.randn(3, 5),), dynamic=ROWS)


class Multinomial(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.multinomial(torch.softmax(x, -1), 1)


def multinomial() -> Exportable:
    return Exportable(Multinomial(), (torch.randn(3, 5),), dynamic=ROWS)


class RandInt(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randint(0, 10, (x.shape[0], 5))


def randint() -> Exportable:
    return Exportable(RandInt(), (torch.randn(3, 5),), dynamic=ROWS)


class Permutes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[torch.randperm(x.shape[0])]


def randperm() -> Exportable:
    return Exportable(Permutes(), (torch.randn(7, 5),), dynamic=ROWS)


class Gumbel(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.gumbel_softmax(x, hard=True)


def gumbel_softmax() -> Exportable:
    return Exportable(Gumbel(), (torch.randn(3, 5),), dynamic=ROWS)


class PythonRandom(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * random.random() + float(np.random.rand())


def pythons_own() -> Exportable:
    return Exportable(PythonRandom(), (torch.randn(3, 5),), dynamic=ROWS)


class Rare(nn.Module):
    """Random once in fifty calls: two equal answers prove nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return x + (torch.rand(1) < 0.02)


def rarely_different() -> Exportable:
    return Exportable(Rare(), (torch.randn(3, 5),), dynamic=ROWS)


class Seeded(nn.Module):
    """The same numbers each call, and none that ONNX Runtime would draw."""

    def forward(self, x: Tensor) -> Tensor:
        torch.manual_seed(7)
        return x + torch.randn(5)


def seeded_inside() -> Exportable:
    return Exportable(Seeded(), (torch.randn(3, 5),), dynamic=ROWS)


class Generator(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        drawn = torch.randn(5, generator=torch.Generator().manual_seed(7))
        return x + drawn


def generator_inside() -> Exportable:
    return Exportable(Generator(), (torch.randn(3, 5),), dynamic=ROWS)


class Unused(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        torch.rand(3)
        return x + 1


def drawn_and_not_used() -> Exportable:
    return Exportable(Unused(), (torch.randn(3, 5),), dynamic=ROWS)


class RReLU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.rrelu(x, training=True)


def rrelu_in_training() -> Exportable:
    return Exportable(RReLU(), (torch.randn(3, 5),), dynamic=ROWS)
