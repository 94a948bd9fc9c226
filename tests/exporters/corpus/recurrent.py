"""Recurrent networks, with dynamic batch and time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import rnn

from exporters.exportable import Exportable

SEQUENCES = {"x": ["n", "t", None]}


class Recurrent(nn.Module):
    def __init__(self, cell: nn.RNNBase) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        states, last = self.cell(x)
        return states, last[0] if isinstance(last, tuple) else last


def _of(cell: Any, **given: Any) -> Exportable:
    return Exportable(Recurrent(cell(4, 6, **given)), (torch.randn(3, 5, 4),), dynamic=SEQUENCES)


def lstm() -> Exportable:
    return _of(nn.LSTM, batch_first=True)


def lstm_two_layers_both_ways() -> Exportable:
    return _of(nn.LSTM, batch_first=True, num_layers=2, bidirectional=True, dropout=0.5)


def lstm_projected() -> Exportable:
    return _of(nn.LSTM, batch_first=True, proj_size=3)


def lstm_without_bias() -> Exportable:
    return _of(nn.LSTM, batch_first=True, bias=False)


def lstm_time_first() -> Exportable:
    return Exportable(
        Recurrent(nn.LSTM(4, 6)), (torch.randn(5, 3, 4),), dynamic={"x": ["t", "n", None]}
    )


def gru() -> Exportable:
    """pytorch#189225: the gates came in another order."""
    return _of(nn.GRU, batch_first=True)


def gru_both_ways() -> Exportable:
    return _of(nn.GRU, batch_first=True, num_layers=2, bidirectional=True)


def tanh() -> Exportable:
    """pytorch#184872: no lowering of nn.RNN that keeps time dynamic."""
    return _of(nn.RNN, batch_first=True)


def relu_both_ways() -> Exportable:
    return _of(nn.RNN, batch_first=True, nonlinearity="relu", bidirectional=True)


def tanh_at_a_fixed_length() -> Exportable:
    return Exportable(
        Recurrent(nn.RNN(4, 6, batch_first=True)), (torch.randn(3, 5, 4),), dynamic={"x": ["n"]}
    )


class BackAndForth(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.there = nn.LSTM(4, 6, batch_first=True)
        self.back = nn.LSTM(4, 6, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.there(x)[0], self.back(x.flip(1))[0].flip(1)], -1)


def both_ways_by_hand() -> Exportable:
    """pytorch#191855: the example's length was frozen inside."""
    return Exportable(BackAndForth(), (torch.randn(3, 5, 4),), dynamic=SEQUENCES)


class WithState(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(4, 6, batch_first=True)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        states, (h, c) = self.cell(x, (h, c))
        return states, h, c


def lstm_with_a_state() -> Exportable:
    return Exportable(
        WithState(),
        (torch.randn(3, 5, 4), torch.randn(1, 3, 6), torch.randn(1, 3, 6)),
        dynamic={"x": ["n", "t", None], "h": [None, "n", None], "c": [None, "n", None]},
    )


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.LSTM(4, 6, batch_first=True, bidirectional=True)
        self.second = nn.GRU(12, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        second: Tensor = self.second(self.first(x)[0])[0]
        return second[:, -1]


def one_after_the_other() -> Exportable:
    """An LSTM with a dynamic length once spoilt the next one in the process."""
    return Exportable(Two(), (torch.randn(3, 5, 4),), dynamic=SEQUENCES)


class Decodes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTM(4, 6, batch_first=True)
        self.decoder = nn.LSTM(6, 6, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        states, last = self.encoder(x)
        decoded: Tensor = self.decoder(states, last)[0]
        return decoded


def encoder_and_decoder() -> Exportable:
    return Exportable(Decodes(), (torch.randn(3, 5, 4),), dynamic=SEQUENCES)


class Steps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        h = c = torch.zeros(x.shape[0], 6)
        for t in range(x.shape[1]):
            h, c = self.cell(x[:, t], (h, c))
        return h


def cell_in_a_loop() -> Exportable:
    """As many steps as the example has, whatever comes later, if the loop is unrolled."""
    return Exportable(Steps(), (torch.randn(3, 5, 4),), dynamic=SEQUENCES)


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRU(4, 6, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        last: Tensor = self.cell(packed)[1]
        return last[-1]


def packed_sequences() -> Exportable:
    return Exportable(
        Packed(),
        (torch.randn(3, 5, 4), torch.tensor([5, 2, 4])),
        values={"lengths": (1.0, 5.0)},
        dynamic={"x": ["n", None, None], "lengths": ["n"]},
    )


class Last(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRU(4, 6, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        states = self.cell(x)[0]
        answer: Tensor = states[torch.arange(x.shape[0]), lengths - 1]
        return answer


def last_step_by_length() -> Exportable:
    return Exportable(
        Last(),
        (torch.randn(3, 5, 4), torch.tensor([5, 2, 4])),
        values={"lengths": (1.0, 5.0)},
        dynamic={"x": ["n", None, None], "lengths": ["n"]},
    )
