"""Modules whose code looks at a size: branches, loops, and sizes that become numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from exporters.exportable import Exportable

ROWS = {"x": ["n", None]}


class Above(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.shape[0] > 4 else x - 1


def branch_above_four() -> Exportable:
    return Exportable(Above(), (torch.randn(3, 5),), dynamic=ROWS)


class One(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 3 if x.shape[0] == 1 else x


def branch_at_one() -> Exportable:
    """pytorch#157621, #151582: sizes 0 and 1 are taken for special without a word."""
    return Exportable(One(), (torch.randn(3, 5),), dynamic=ROWS)


class Even(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.shape[1] % 2 == 0 else x - 1


def branch_on_parity() -> Exportable:
    return Exportable(Even(), (torch.randn(2, 6),), dynamic={"x": [None, "t"]})


class Window(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if 30 < x.shape[0] < 33 else x


def branch_far_away() -> Exportable:
    """Wrong at 31 and 32 alone if the branch is not followed."""
    return Exportable(Window(), (torch.randn(3, 5),), dynamic={"x": ["n:1..64", None]})


class Against(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x.sum() + y.sum() if x.shape[0] > y.shape[0] else x.sum() - y.sum()


def branch_between_inputs() -> Exportable:
    return Exportable(
        Against(),
        (torch.randn(3, 5), torch.randn(7, 5)),
        dynamic={"x": ["n", None], "y": ["m", None]},
    )


class Product(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.numel() > 100 else x


def branch_on_product() -> Exportable:
    return Exportable(Product(), (torch.randn(3, 5),), dynamic={"x": ["n", "t"]})


class Divisor(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = x.sum(1) / x.shape[1] + x.sum(1) * x.shape[1] ** -0.5
        return answer


def size_as_divisor() -> Exportable:
    return Exportable(Divisor(), (torch.randn(3, 5),), dynamic={"x": ["n", "t"]})


class IntOfSize(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum(1) / float(int(x.shape[1]))


def size_through_int() -> Exportable:
    return Exportable(IntOfSize(), (torch.randn(3, 5),), dynamic={"x": ["n", "t"]})


class SizeInTensor(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum(1) / torch.tensor(x.shape[1], dtype=torch.float32)


def size_in_a_tensor() -> Exportable:
    return Exportable(SizeInTensor(), (torch.randn(3, 5),), dynamic={"x": ["n", "t"]})


class Merges(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        merged: Tensor = self.linear(x.reshape(-1, 6)).view(x.shape[0], -1, 4)
        return merged


def merges_batch_and_time() -> Exportable:
    return Exportable(Merges(), (torch.randn(3, 5, 6),), dynamic={"x": ["n", "t", None]})


class FixedView(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.view(3, -1)


def view_with_the_examples_batch() -> Exportable:
    return Exportable(FixedView(), (torch.randn(3, 5, 2),), dynamic={"x": ["n", None, None]})


class Swallows(nn.Module):
    """The size of the batch goes into the -1: right shape only by accident."""

    def forward(self, x: Tensor) -> Tensor:
        return x.view(-1, 6).sum(1)


def view_that_mixes_rows() -> Exportable:
    return Exportable(Swallows(), (torch.randn(6, 4),), dynamic={"x": ["n:3..99", None]})


class Loop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        steps, state = [], torch.zeros(x.shape[0], 4)
        for t in range(x.shape[1]):
            state = torch.tanh(self.cell(state) + x[:, t])
            steps.append(state)
        return torch.stack(steps, 1)


def loop_over_time() -> Exportable:
    return Exportable(Loop(), (torch.randn(2, 5, 4),), dynamic={"x": ["n", "t", None]})


def loop_over_fixed_time() -> Exportable:
    return Exportable(Loop(), (torch.randn(2, 5, 4),), dynamic={"x": ["n", None, None]})


class Table(nn.Module):
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randn(16, 4))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight[: x.shape[1]]


def slice_of_a_table() -> Exportable:
    """Positions: right up to 16, and beyond the original itself fails."""
    return Exportable(Table(), (torch.randn(2, 5, 4),), dynamic={"x": ["n", "t:1..16", None]})


class Clipped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, : min(x.shape[1], 6)].sum(1)


def least_of_size_and_constant() -> Exportable:
    return Exportable(Clipped(), (torch.randn(2, 4),), dynamic={"x": ["n", "t"]})


class Halves(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        half = x.shape[1] // 2
        return x[:, :half].sum(1), x[:, half:].sum(1)


def halves() -> Exportable:
    return Exportable(Halves(), (torch.randn(2, 6),), dynamic={"x": ["n", "t:2.."]})


class Chunks(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(part.sum(1) for part in x.chunk(3, dim=1))


def chunks() -> Exportable:
    """Of 4 columns torch makes two chunks, not three."""
    return Exportable(Chunks(), (torch.randn(2, 9),), dynamic={"x": ["n", "t:3.."]})


class Ranges(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        t = x.shape[1]
        return x * torch.arange(t) + torch.linspace(0, 1, t) + torch.arange(t - 1, -1, -1)


def ranges_of_a_size() -> Exportable:
    return Exportable(Ranges(), (torch.randn(2, 6),), dynamic={"x": ["n", "t:2.."]})


class Triangle(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        t = x.shape[1]
        allowed = torch.ones(t, t, dtype=torch.bool).tril()
        return (x[:, None, :] * allowed).sum(-1) + x.tril(1) + torch.triu(x, -1)


def triangles() -> Exportable:
    return Exportable(Triangle(), (torch.randn(5, 5),), dynamic={"x": ["t", "t"]})


class Equal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(x)
        return normed.reshape(x.shape[0], 2, 2).sum(-1)


def batch_equal_to_channels() -> Exportable:
    """The example's batch has as many rows as there are channels: by accident, not by rule."""
    return Exportable(Equal(), (torch.randn(4, 4),), dynamic=ROWS)


def example_of_one() -> Exportable:
    """pytorch#157621: an example of size 1 became static."""
    return Exportable(Equal(), (torch.randn(1, 4),), dynamic=ROWS)


class Outer(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x.expand(y.shape[0], -1, x.shape[0]).sum(1) + y.repeat(1, x.shape[0])


def expand_and_repeat() -> Exportable:
    return Exportable(
        Outer(),
        (torch.randn(3, 1), torch.randn(5, 1)),
        dynamic={"x": ["n", None], "y": ["m", None]},
    )


class Broadcasts(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x * 2 + y


def broadcast_of_one_row() -> Exportable:
    """At n = 1 or m = 1 the original broadcasts; the example says nothing of it."""
    return Exportable(
        Broadcasts(),
        (torch.randn(3, 4), torch.randn(3, 4)),
        dynamic={"x": ["n", None], "y": ["m", None]},
    )


class Folds(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.unfold(1, 3, 2).sum(-1)


def unfold_in_windows() -> Exportable:
    return Exportable(Folds(), (torch.randn(2, 9),), dynamic={"x": ["n", "t:3.."]})


class Rolls(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.roll(x, (1, -2), (0, 1)) + x.flip(1) + torch.rot90(x, 2)


def roll_and_flip() -> Exportable:
    return Exportable(Rolls(), (torch.randn(3, 5),), dynamic={"x": ["n", "t:2.."]})


class Pads(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        width = (-x.shape[1]) % 8
        return nn.functional.pad(x, (0, width)).reshape(x.shape[0], -1, 8).sum(1)


def pad_to_a_multiple() -> Exportable:
    """pytorch#60179: paddings that depend on a size came out in another order."""
    return Exportable(Pads(), (torch.randn(2, 13),), dynamic={"x": ["n", "t"]})


class Long(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).sum(1)


def long_name_of_a_dimension() -> Exportable:
    name = "the_number_of_pictures_that_are_looked_at_in_one_go_" * 4
    return Exportable(Long(), (torch.randn(3, 2, 2),), dynamic={"x": [name, None, None]})


def no_rows_at_all() -> Exportable:
    return Exportable(Long(), (torch.randn(0, 2, 2),))


class Varies(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x.var(1), x.std(1, correction=0), x.norm(dim=1), x.norm(p=1, dim=1)])


def variance_over_a_size() -> Exportable:
    return Exportable(Varies(), (torch.randn(3, 6),), dynamic={"x": ["n", "t:2.."]})
