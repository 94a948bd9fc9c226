"""What a module may hand back: twice, nested, nothing, its own input, views, scalars."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from exporters.exportable import Exportable

ROWS = {"x": ["n", None]}


class Twice(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = x + 1
        return y, y


def one_tensor_twice() -> Exportable:
    return Exportable(Twice(), (torch.randn(3, 5),), dynamic=ROWS)


class Itself(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x * 2


def its_own_input() -> Exportable:
    return Exportable(Itself(), (torch.randn(3, 5),), dynamic=ROWS)


class Only(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def nothing_but_its_input() -> Exportable:
    return Exportable(Only(), (torch.randn(3, 5),), dynamic=ROWS)


class Nested(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Any]:
        return {"a": {"b": [x + 1, (x + 2, None)], "c": x.sum()}, "d": None, "e": x > 0}


def nested_with_none() -> Exportable:
    return Exportable(Nested(), (torch.randn(3, 5),), dynamic=ROWS)


class Pair(NamedTuple):
    first: Tensor
    second: Tensor | None


class Named(nn.Module):
    def forward(self, x: Tensor) -> Pair:
        return Pair(x + 1, None)


def named_tuple() -> Exportable:
    return Exportable(Named(), (torch.randn(3, 5),), dynamic=ROWS)


class Empty(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, tuple[()]]:
        return x + 1, ()


def an_empty_tuple() -> Exportable:
    return Exportable(Empty(), (torch.randn(3, 5),), dynamic=ROWS)


class Numbers(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int, float]:
        return x + 1, x.shape[1], 0.5


def python_numbers() -> Exportable:
    return Exportable(Numbers(), (torch.randn(3, 5),), dynamic={"x": ["n", "t"]})


class Constant(nn.Module):
    table: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.arange(4.0))
        self.weight = nn.Parameter(torch.randn(2))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.sum(), self.table, self.weight, torch.ones(2, dtype=torch.int32)


def constants() -> Exportable:
    return Exportable(Constant(), (torch.randn(3, 5),), dynamic=ROWS)


class Unused(nn.Module):
    def forward(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        return x + z


def an_input_that_is_not_used() -> Exportable:
    return Exportable(
        Unused(),
        (torch.randn(3, 5), torch.randn(4), torch.randn(3, 5)),
        dynamic={"x": ["n", None], "z": ["n", None]},
    )


class Views(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = x * 2
        first, rest = y[:, :2], y[:, 2:]
        first.mul_(3)
        return y, first, rest, y.t(), y.unsqueeze(0)


def views_of_one_another() -> Exportable:
    return Exportable(Views(), (torch.randn(3, 5),), dynamic=ROWS)


class Scalars(nn.Module):
    def forward(self, x: Tensor, factor: Tensor) -> tuple[Tensor, ...]:
        return (x * factor).sum(), x.argmax(), x.max() > 0, factor + 1


def scalars() -> Exportable:
    return Exportable(Scalars(), (torch.randn(3, 5), torch.tensor(2.0)), dynamic=ROWS)


class Keywords(nn.Module):
    def forward(self, a: Tensor, *, b: Tensor, c: Tensor | None = None, scale: float = 2) -> Tensor:
        return a - b * scale + (0 if c is None else c)


def keyword_arguments() -> Exportable:
    return Exportable(
        Keywords(),
        {"b": torch.randn(3, 5), "a": torch.randn(3, 5)},
        dynamic={"a": ["n", None], "b": ["n", None]},
    )


class Clashes(nn.Module):
    def forward(self, output: Tensor) -> dict[str, Tensor]:
        return {"output": output + 1, "weight.0": output - 1}


def an_output_named_like_the_input() -> Exportable:
    return Exportable(Clashes(), (torch.randn(3, 5),), dynamic={"output": ["n", None]})
