"""Modules that keep something between calls, or answer differently each time."""

from __future__ import annotations

import itertools
import time
import warnings

import torch
from torch import Tensor, nn

from exporters.exportable import Exportable

ROWS = {"x": ["n", None]}


class Counter(nn.Module):
    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x + self.calls


def counter_buffer() -> Exportable:
    """pytorch#60828: an exported model can't keep anything."""
    return Exportable(Counter(), (torch.randn(3, 5),), dynamic=ROWS)


class Saturates(nn.Module):
    """Changes for three calls alone, then stays: two equal answers prove nothing."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x + (self.calls > 3)


def changes_at_the_fourth_call() -> Exportable:
    return Exportable(Saturates(), (torch.randn(3, 5),), dynamic=ROWS)


class PythonCounter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x + self.calls


def counter_in_python() -> Exportable:
    return Exportable(PythonCounter(), (torch.randn(3, 5),), dynamic=ROWS)


class Silent(nn.Module):
    """Counts its calls and tells nobody: the answers are right."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * 2


def counter_that_is_never_read() -> Exportable:
    return Exportable(Silent(), (torch.randn(3, 5),), dynamic=ROWS)


class LastInput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = torch.zeros(5)

    def forward(self, x: Tensor) -> Tensor:
        answer = x - self.last
        self.last = x.mean(0)
        return answer


def last_input() -> Exportable:
    return Exportable(LastInput(), (torch.randn(3, 5),), dynamic=ROWS)


class FirstInput(nn.Module):
    """Remembers its first input for good: the same input twice gives the same answer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.first is None:
            self.first = x.detach().mean(0)
        return x - self.first


def first_input() -> Exportable:
    return Exportable(FirstInput(), (torch.randn(3, 5),), dynamic=ROWS)


class History(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.mean(0))
        return x + torch.stack(self.seen).mean(0)


def list_of_inputs() -> Exportable:
    return Exportable(History(), (torch.randn(3, 5),), dynamic=ROWS)


class Cached(nn.Module):
    """A table that is made at the first call and reused, however long the next input is."""

    def __init__(self) -> None:
        super().__init__()
        self.table: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.table is None or self.table.shape[0] < x.shape[1]:
            self.table = torch.arange(x.shape[1]) / 10
        return x + self.table[: x.shape[1]]


def table_made_at_the_first_call() -> Exportable:
    return Exportable(Cached(), (torch.randn(3, 5),), dynamic={"x": ["n", "t"]})


class Running(nn.Module):
    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(5))

    def forward(self, x: Tensor) -> Tensor:
        self.mean.mul_(0.9).add_(x.mean(0), alpha=0.1)
        return x - self.mean


def running_mean() -> Exportable:
    return Exportable(Running(), (torch.randn(3, 5),), dynamic=ROWS)


class Clock(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * (time.time_ns() % 1_000_003)


def clock() -> Exportable:
    return Exportable(Clock(), (torch.randn(3, 5),), dynamic=ROWS)


_NEXT = itertools.count()


class Global(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + next(_NEXT)


def global_counter() -> Exportable:
    return Exportable(Global(), (torch.randn(3, 5),), dynamic=ROWS)


class InPlace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x += 1
        return x * 2


def changes_its_input() -> Exportable:
    return Exportable(InPlace(), (torch.randn(3, 5),), dynamic=ROWS)


class View(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = x * 2
        view = y[:, 1:3]
        view += 10
        return y, view


def writes_through_a_view() -> Exportable:
    return Exportable(View(), (torch.randn(3, 5),), dynamic=ROWS)


class Warns(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        warnings.warn("look", stacklevel=1)
        print("hello from forward")
        return x + 1


def warns_and_prints() -> Exportable:
    return Exportable(Warns(), (torch.randn(3, 5),), dynamic=ROWS)
