"""Modules that are, or switch themselves, into training mode."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from exporters.exportable import Exportable

ROWS = {"x": ["n:2..", None]}


class Batch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(x)
        return normed


def norm_left_in_training() -> Exportable:
    """The factory forgot .eval(); an export means evaluation mode."""
    return Exportable(Batch().train(), (torch.randn(3, 4),), dynamic=ROWS)


class Functional(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.batch_norm(x, None, None, training=True)


def batch_statistics_for_good() -> Exportable:
    """Each answer depends on its neighbours in the batch, and is a function of the input."""
    return Exportable(Functional(), (torch.randn(3, 4),), dynamic=ROWS)


class Updates(nn.Module):
    mean: Tensor
    var: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("var", torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.batch_norm(x, self.mean, self.var, training=True)


def batch_statistics_with_an_update() -> Exportable:
    return Exportable(Updates(), (torch.randn(3, 4),), dynamic=ROWS)


class Untracked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(x)
        return normed


def norm_without_running_statistics() -> Exportable:
    return Exportable(Untracked(), (torch.randn(3, 4),), dynamic=ROWS)


class Trains(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        self.train()
        normed: Tensor = self.norm(x)
        return normed


def train_in_forward() -> Exportable:
    return Exportable(Trains(), (torch.randn(3, 4),), dynamic=ROWS)


class Keeps(nn.Module):
    """A dropout that refuses to be switched off (Monte Carlo dropout)."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def train(self, mode: bool = True) -> Keeps:
        super().train(mode)
        self.drop.train()
        return self

    def forward(self, x: Tensor) -> Tensor:
        dropped: Tensor = self.drop(x)
        return dropped


def monte_carlo_dropout() -> Exportable:
    return Exportable(Keeps(), (torch.randn(3, 4),), dynamic=ROWS)


class Asks(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if self.training else x


def asks_for_its_mode() -> Exportable:
    return Exportable(Asks().train(), (torch.randn(3, 4),), dynamic=ROWS)


class Fused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.norm.running_mean = torch.randn(4)
        self.norm.running_var = torch.rand(4) + 0.5

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.norm(self.conv(x)).relu()
        return answer


def convolution_and_norm() -> Exportable:
    """pytorch#166797, #169178, #168224: ResNets that came out wrong."""
    return Exportable(
        Fused(), (torch.randn(2, 3, 8, 9),), dynamic={"x": ["n", None, "h:3..", "w:3.."]}
    )


class Instance(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(3, affine=True, track_running_stats=True)
        self.norm.running_mean = torch.randn(3)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(x)
        return normed


def instance_norm_with_statistics() -> Exportable:
    return Exportable(Instance(), (torch.randn(2, 3, 8, 9),), dynamic={"x": ["n", None, "h", None]})


class Parametrized(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = parametrizations.weight_norm(nn.Linear(4, 5))
        self.second = parametrizations.spectral_norm(nn.Linear(5, 6))

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.second(self.first(x))
        return answer


def weight_and_spectral_norm() -> Exportable:
    return Exportable(Parametrized(), (torch.randn(3, 4),), dynamic=ROWS)
