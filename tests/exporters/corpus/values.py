"""Modules whose way depends on what is in a tensor."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from exporters.exportable import Exportable


class Sum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x * 2
        return x - 1


def branch_on_a_sum() -> Exportable:
    return Exportable(Sum(), (torch.randn(3, 5),), dynamic={"x": ["n", None]})


class Loud(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.abs().max().item() > 50:
            x = x / x.abs().max()
        return x


def branch_outside_the_example() -> Exportable:
    """No value of the example's range takes the other way: only values beyond it tell."""
    return Exportable(Loud(), (torch.rand(3, 5),), dynamic={"x": ["n", None]})


class Until(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        while x.norm() > 1:
            x = x / 2
        return x


def loop_until_small() -> Exportable:
    return Exportable(Until(), (torch.randn(3, 5) * 4,))


class Length(nn.Module):
    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        return x[:, : int(length)].sum(1)


def length_as_an_input() -> Exportable:
    return Exportable(
        Length(),
        (torch.randn(3, 9), torch.tensor(5)),
        values={"length": (1.0, 9.0)},
        dynamic={"x": ["n", None]},
    )


class LengthMask(nn.Module):
    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        return (x * (torch.arange(x.shape[1]) < length[:, None])).sum(1) / length


def length_as_a_mask() -> Exportable:
    return Exportable(
        LengthMask(),
        (torch.randn(3, 9), torch.tensor([5, 1, 9])),
        values={"length": (1.0, 9.0)},
        dynamic={"x": ["n", "t"], "length": ["n"]},
    )


class Flag(nn.Module):
    def forward(self, x: Tensor, flag: Tensor) -> Tensor:
        return x * 2 if flag else x - 1


def flag_as_an_input() -> Exportable:
    return Exportable(Flag(), (torch.randn(3, 5), torch.tensor(True)))


class Cond(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = torch.cond(x.sum() > 0, lambda x: x * 2, lambda x: x - 1, (x,))
        return answer


def cond() -> Exportable:
    return Exportable(Cond(), (torch.randn(3, 5),), dynamic={"x": ["n", None]})


class Where(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x > 0, x.sqrt(), x.exp()).nan_to_num(nan=7.0)


def where() -> Exportable:
    return Exportable(Where(), (torch.randn(3, 5),), dynamic={"x": ["n", None]})


class Checked(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if torch.isnan(x).any():
            raise ValueError("not a number")
        return x + 1


def assertion_on_values() -> Exportable:
    return Exportable(Checked(), (torch.randn(3, 5),), dynamic={"x": ["n", None]})


class Selects(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.masked_select(x, x > 0)


def masked_select() -> Exportable:
    """As many answers as there are positive values."""
    return Exportable(Selects(), (torch.randn(3, 5),), dynamic={"x": ["n", None]})


class NonZero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.nonzero(x > 0.5)


def nonzero() -> Exportable:
    return Exportable(NonZero(), (torch.randn(3, 5),), dynamic={"x": ["n", None]})


class Unique(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        values, inverse = torch.unique(x, return_inverse=True)
        return values, inverse


def unique() -> Exportable:
    return Exportable(Unique(), (torch.tensor([3, 1, 3, 2]),), dynamic={"x": ["n"]})


class Filtered(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[x.sum(1) > 0].sum(0)


def rows_that_pass() -> Exportable:
    """A data-dependent size inside, a fixed one outside."""
    return Exportable(Filtered(), (torch.randn(6, 3),), dynamic={"x": ["n", None]})


class Trims(nn.Module):
    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        longest = int(length.max())
        return (x[:, :longest] * (torch.arange(longest) < length[:, None])).sum(1)


def trims_to_the_longest() -> Exportable:
    return Exportable(
        Trims(),
        (torch.randn(3, 9), torch.tensor([5, 1, 7])),
        values={"length": (1.0, 9.0)},
        dynamic={"x": ["n", None], "length": ["n"]},
    )


class Python(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = x * sum(x[0].tolist())
        return answer


def tolist() -> Exportable:
    return Exportable(Python(), (torch.randn(3, 4),), dynamic={"x": ["n", None]})


class Numpy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.from_numpy(x.detach().numpy().cumsum(1))


def numpy_inside() -> Exportable:
    """TorchScript takes what NumPy computed for a constant."""
    return Exportable(Numpy(), (torch.randn(3, 4),), dynamic={"x": ["n", None]})


class Item(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.max().item()


def item() -> Exportable:
    return Exportable(Item(), (torch.randn(3, 4),), dynamic={"x": ["n", None]})


class Scaled(nn.Module):
    """The example's largest value is taken for a constant by whoever traces."""

    def forward(self, x: Tensor) -> Tensor:
        return x / torch.tensor(float(x.abs().max()))


def scaled_by_a_python_number() -> Exportable:
    return Exportable(Scaled(), (torch.randn(3, 4),), dynamic={"x": ["n", None]})
