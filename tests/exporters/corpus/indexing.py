"""Gathers, scatters, orders and ties."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from exporters.exportable import Exportable

ROWS = {"x": ["n", None]}


class Negative(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return x[:, -1], x[..., -3:-1], x[:, ::2], x[-1], x[:, [0, -2]], x[:, None, 1]


def negative_indices() -> Exportable:
    return Exportable(Negative(), (torch.randn(3, 5),), dynamic=ROWS)


class Lookup(nn.Module):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return x[:, index]


def negative_indices_as_an_input() -> Exportable:
    return Exportable(
        Lookup(),
        (torch.randn(3, 5), torch.tensor([1, -1, 0])),
        values={"index": (-5.0, 4.0)},
        dynamic={"x": ["n", None], "index": ["m"]},
    )


class Pairs(nn.Module):
    def forward(self, x: Tensor, i: Tensor, j: Tensor) -> tuple[Tensor, Tensor]:
        return x[i, :, j], x[:, i, j]


def advanced_indices() -> Exportable:
    """Where the indices are apart, the new axis goes first."""
    return Exportable(
        Pairs(),
        (torch.randn(4, 4, 4), torch.tensor([0, 2, 3]), torch.tensor([1, 1, 3])),
        dynamic={"i": ["m"], "j": ["m"]},
    )


class Puts(nn.Module):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        y = torch.zeros(x.shape[0], 5)
        y[:, index] = 7
        y[x > 1] = -1
        return y.index_put((torch.tensor([0, 0]),), torch.ones(2, 5), accumulate=True)


def index_put() -> Exportable:
    return Exportable(
        Puts(),
        (torch.randn(3, 5), torch.tensor([1, 4])),
        values={"index": (0.0, 4.0)},
        dynamic=ROWS,
    )


class PutsEverywhere(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x.index_put((torch.arange(4),), y, accumulate=True)


def index_put_over_every_row() -> Exportable:
    """onnxscript#3049: an addition to every row was optimized into an assignment."""
    return Exportable(PutsEverywhere(), (torch.randn(4, 5), torch.randn(4, 5)))


class Accumulates(nn.Module):
    def forward(self, x: Tensor, index: Tensor) -> tuple[Tensor, ...]:
        zeros = torch.zeros(4, 5)
        by_row = index[:, None].expand(-1, 5)
        return (
            zeros.index_add(0, index, x),
            zeros.scatter_add(0, by_row, x),
            zeros.scatter_reduce(0, by_row, x, "amax", include_self=False),
            zeros.scatter_reduce(0, by_row, x, "sum"),
            zeros.index_put((index,), x, accumulate=True),
        )


def scatter_with_duplicates() -> Exportable:
    """pytorch#61034, #111159: of equal indices only the last one counted."""
    return Exportable(
        Accumulates(),
        (torch.randn(6, 5), torch.tensor([0, 2, 2, 3, 0, 1])),
        dynamic={"x": ["n", None], "index": ["n"]},
    )


class ScatterMean(nn.Module):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return torch.zeros(4, 5).scatter_reduce(
            0, index[:, None].expand(-1, 5), x, "mean", include_self=False
        )


def scatter_mean() -> Exportable:
    return Exportable(
        ScatterMean(),
        (torch.randn(6, 5), torch.tensor([0, 2, 2, 3, 0, 1])),
        dynamic={"x": ["n", None], "index": ["n"]},
    )


class Gathers(nn.Module):
    def forward(self, x: Tensor, index: Tensor) -> tuple[Tensor, ...]:
        return x.gather(1, index), x.take_along_dim(index, 1), torch.take(x, index)


def gather() -> Exportable:
    return Exportable(
        Gathers(),
        (torch.randn(3, 5), torch.tensor([[0, 4], [1, 1], [2, 3]])),
        dynamic={"x": ["n", None], "index": ["n", None]},
    )


class Ties(nn.Module):
    """Few different values, so that many are equal."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        coarse = x.round().clamp(-1, 1)
        return coarse.argmax(1), coarse.argmin(1), coarse.max(1).indices, coarse.min(1).indices


def argmax_ties() -> Exportable:
    return Exportable(Ties(), (torch.randn(3, 16),), dynamic=ROWS)


class TopTies(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.round().clamp(-1, 1).topk(4).indices


def topk_ties() -> Exportable:
    """Which of equal values comes first is left open by torch."""
    return Exportable(TopTies(), (torch.randn(3, 16),), dynamic=ROWS)


class Top(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        values, indices = x.topk(3)
        lowest, _ = x.topk(2, largest=False)
        return values, indices, lowest, x.kthvalue(2).values


def topk() -> Exportable:
    return Exportable(Top(), (torch.randn(3, 16),), dynamic={"x": ["n", "t:3.."]})


class Sorts(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        values, indices = x.sort(1, descending=True)
        return (
            values,
            indices,
            x.argsort(0),
            x.round().clamp(-1, 1).sort(dim=1, stable=True).indices,
        )


def sort_stable() -> Exportable:
    return Exportable(Sorts(), (torch.randn(3, 16),), dynamic=ROWS)


class Middle(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.median(1).values, x.quantile(0.3, dim=1), x.nanmedian()


def median_and_quantile() -> Exportable:
    return Exportable(Middle(), (torch.randn(3, 6),), dynamic=ROWS)


class Mode(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mode(1).values


def mode() -> Exportable:
    return Exportable(Mode(), (torch.randint(0, 3, (3, 7)),), dynamic=ROWS)


class MaskedRows(nn.Module):
    def forward(self, x: Tensor, mask: Tensor, rows: Tensor) -> Tensor:
        return x.masked_scatter(mask[..., None], rows)


def masked_scatter_of_rows() -> Exportable:
    """pytorch#186146: the values were written in another order."""
    mask = torch.tensor([[True, False, True, False, True]])
    return Exportable(
        MaskedRows(),
        (torch.randn(1, 5, 3), mask, torch.randn(5, 3)),
        dynamic={"x": [None, "t", None], "mask": [None, "t"], "rows": ["t", None]},
    )


class Embeds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 4, padding_idx=0, max_norm=None)
        self.bag = nn.EmbeddingBag(10, 4, mode="mean")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.table(x), self.bag(x)


def embedding_and_bag() -> Exportable:
    return Exportable(Embeds(), (torch.randint(0, 9, (3, 7)),), dynamic=ROWS)


class Renormed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 4, max_norm=0.5)

    def forward(self, x: Tensor) -> Tensor:
        looked_up: Tensor = self.table(x)
        return looked_up


def embedding_that_rewrites_its_weights() -> Exportable:
    """max_norm shrinks the rows that are looked up, in place and for good."""
    return Exportable(Renormed(), (torch.randint(0, 9, (3, 7)),), dynamic=ROWS)


class OneHot(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.one_hot(x, 6).float() @ torch.arange(6.0)


def one_hot() -> Exportable:
    return Exportable(OneHot(), (torch.randint(0, 5, (3, 7)),), dynamic=ROWS)


class OneHotOfTheData(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.one_hot(x)


def one_hot_of_as_many_classes_as_there_are() -> Exportable:
    return Exportable(OneHotOfTheData(), (torch.randint(0, 5, (3, 7)),), dynamic=ROWS)


class Buckets(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        edges = torch.tensor([-1.0, 0.0, 1.0])
        return torch.bucketize(x, edges), torch.searchsorted(edges, x, right=True)


def bucketize() -> Exportable:
    return Exportable(Buckets(), (torch.randn(3, 5),), dynamic=ROWS)


class Histogram(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.bincount(x.flatten(), minlength=6)


def bincount() -> Exportable:
    return Exportable(Histogram(), (torch.randint(0, 5, (3, 7)),), dynamic=ROWS)


class Fills(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = x.clone()
        y[:, 1::2] = 0
        y[0] += 5
        z = x.masked_fill(x < 0, float("-inf"))
        return y, z, torch.diagonal(x[:, :1] + x), x.select_scatter(x[:, 0] * 9, 1, 2)


def slice_assignments() -> Exportable:
    return Exportable(Fills(), (torch.randn(3, 5),), dynamic=ROWS)
