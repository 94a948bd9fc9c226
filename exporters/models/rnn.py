"""A recurrent network that reads a handwritten digit row by row.

A state h goes along the sequence; the last one is turned into class scores by a linear layer. The
`tanh` cell is

    h_t = tanh(W_hh h_{t−1} + W_xh x_t + b_h)        y = W_hy h_T + b_y

with h_0 = 0; torch keeps b_h as a sum of two. LSTM (Hochreiter and Schmidhuber, 1997) and GRU (Cho
et al., 2014) put gates around the same idea, so that a state can last longer. With several layers
each reads the states of the one below.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from edgekit.errors import BadValue, UnknownName
from edgekit.terms import Cell, members
from exporters.datasets import digits
from exporters.digit_readers import digit_reader
from exporters.exportable import Exportable
from exporters.training import Course, seeded

HIDDEN = 128
EPOCHS: dict[Cell, int] = {"tanh": 60, "lstm": 24, "gru": 16}
PEAK_RATES: dict[Cell, float] = {"tanh": 1.5e-3, "lstm": 5e-3, "gru": 5e-3}
"""The tanh cell learns slowly, and in small steps: it has no gates that let a gradient by."""
DYNAMIC = {"rows": ("batch:1..64", "time:1..", None)}
PREPROCESSING = "grey digits, ink 255 on paper 0, a row of 28 pixels a step: divide by 255"


class Rnn(nn.Module):
    """[batch, time, 28] → recurrent layers of 128 → the last state → linear 10 class scores."""

    def __init__(self, cell: Cell = "lstm", num_layers: int = 1) -> None:
        super().__init__()
        self.recurrent = recurrent_layers(cell, num_layers)
        self.classes = nn.Linear(HIDDEN, digits.CLASSES)

    def forward(self, rows: Tensor) -> Tensor:
        """Return float32 scores of [batch, 10] for float32 rows of [batch, time, 28]."""
        states, _ = self.recurrent(rows)
        scores: Tensor = self.classes(states[:, -1])
        return scores


def rnn(
    *, cell: Cell = "lstm", num_layers: int = 1, seed: int = 0, epochs: int | None = None
) -> Exportable:
    """Train the network on 3,500 digits, or take the weights kept from the last time.

    With the `lstm` cell and one layer it reads at least 97 % of the 1,500 held-out digits right.
    Any number of rows is read; it was trained on whole digits, 28 of them. `seed` decides the first
    weights, the order of the digits and how each is shifted. The cell decides the `epochs`, if you
    don't.

    Raises:
        BadValue, UnknownName: no such cell, or no layer.
        MissingExtra: the package that ships the digits isn't installed.
    """
    with seeded(seed):
        module = Rnn(cell, num_layers)
    course = course_for(cell, epochs=epochs, seed=seed)
    return digit_reader(
        "rnn",
        module,
        course,
        form=as_feed,
        dynamic=DYNAMIC,
        values={"rows": digits.VALUES},
        preprocessing=PREPROCESSING,
    )


def as_feed(images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Make the network's input of digits of [n, 28, 28]: a row of pixels a step."""
    return {"rows": digits.as_rows(images)}


def course_for(cell: Cell, *, epochs: int | None, seed: int) -> Course:
    """Say how recurrent layers of a known `cell` learn; the clip keeps a rare long step short."""
    epochs = EPOCHS[cell] if epochs is None else epochs
    return Course(epochs, lr=PEAK_RATES[cell], shift=2, clip=1.0, seed=seed)


def recurrent_layers(cell: Cell, num_layers: int) -> nn.RNN | nn.LSTM | nn.GRU:
    """Make layers that read [batch, time, 28] and give their states, [batch, time, 128].

    The tanh cell starts with a turn of its state (an orthogonal W_hh) and no bias, which keeps the
    first rows of a digit from fading before the last is read (Saxe et al., 2014).

    Raises:
        UnknownName: no such cell.
        BadValue: fewer than one layer.
    """
    if cell not in members(Cell):
        raise UnknownName(kind="cell", asked=cell, available=list(members(Cell)))
    if num_layers < 1:
        raise BadValue(what="num_layers", asked=str(num_layers), expected="1 or more")
    if cell == "lstm":
        return nn.LSTM(digits.SIDE, HIDDEN, num_layers, batch_first=True)
    if cell == "gru":
        return nn.GRU(digits.SIDE, HIDDEN, num_layers, batch_first=True)
    layers = nn.RNN(digits.SIDE, HIDDEN, num_layers, nonlinearity="tanh", batch_first=True)
    for name, value in layers.named_parameters():
        if name.startswith("weight_hh"):
            nn.init.orthogonal_(value)
        elif name.startswith("bias"):
            nn.init.zeros_(value)
    return layers
