from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.errors import BadValue, UnknownName
from edgekit.terms import Cell, members
from exporters.exportable import Exportable
from exporters.models.rnn import Rnn, rnn
from exporters.training import seeded

Weights = Callable[[nn.Module], dict[str, np.ndarray]]


def untrained(cell: Cell, num_layers: int = 1) -> Rnn:
    with seeded(3):
        return Rnn(cell, num_layers).double().eval()


def sigmoid(x: np.ndarray) -> np.ndarray:
    answer: np.ndarray = 1 / (1 + np.exp(-x))
    return answer


def states_of_one_layer(
    cell: str, x: np.ndarray, w_xh: np.ndarray, w_hh: np.ndarray, b_x: np.ndarray, b_h: np.ndarray
) -> np.ndarray:
    """Follow one sequence of [time, size] through the equations of a cell; states a step."""
    hidden = w_hh.shape[1]
    h, c = np.zeros(hidden), np.zeros(hidden)
    states = []
    for x_t in x:
        from_x, from_h = w_xh @ x_t + b_x, w_hh @ h + b_h
        if cell == "tanh":
            h = np.tanh(from_h + from_x)
        elif cell == "lstm":
            i, f, g, o = np.split(from_x + from_h, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        else:
            (r_x, z_x, n_x), (r_h, z_h, n_h) = np.split(from_x, 3), np.split(from_h, 3)
            r, z = sigmoid(r_x + r_h), sigmoid(z_x + z_h)
            h = (1 - z) * np.tanh(n_x + r * n_h) + z * h
        states.append(h)
    return np.array(states)


def followed(cell: str, x: np.ndarray, w: dict[str, np.ndarray], num_layers: int) -> np.ndarray:
    for layer in range(num_layers):
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        x = states_of_one_layer(cell, x, *(w[f"recurrent.{name}_l{layer}"] for name in names))
    return x


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("cell", members(Cell))
def test_network_follows_its_equations(cell: Cell, num_layers: int, weights: Weights) -> None:
    module = untrained(cell, num_layers)
    w = weights(module)
    x = np.random.default_rng(0).uniform(size=(2, 5, 28))
    with torch.no_grad():
        y = module(torch.tensor(x)).numpy()
    for sequence, scores in zip(x, y, strict=True):
        last = followed(cell, sequence, w, num_layers)[-1]
        expected = w["classes.weight"] @ last + w["classes.bias"]
        np.testing.assert_allclose(scores, expected, rtol=1e-10, atol=1e-12)


def test_the_tanh_cell_starts_with_turns_of_its_state(weights: Weights) -> None:
    w = weights(untrained("tanh"))["recurrent.weight_hh_l0"]
    np.testing.assert_allclose(w @ w.T, np.eye(len(w)), atol=1e-6)


@pytest.mark.parametrize("cell", members(Cell))
def test_network_takes_any_batch_and_any_number_of_rows(cell: Cell) -> None:
    module = untrained(cell).float()
    with torch.no_grad():
        for batch, time in [(1, 1), (3, 28), (2, 40)]:
            assert module(torch.rand(batch, time, 28)).shape == (batch, 10)


def test_network_reads_rows_in_order() -> None:
    module = untrained("lstm")
    rows = torch.rand(1, 28, 28, dtype=torch.float64)
    with torch.no_grad():
        assert not torch.allclose(module(rows), module(rows.flip(1)))


def test_network_refuses_what_it_cannot_be_made_of() -> None:
    with pytest.raises(UnknownName, match="no cell 'relu'; there is: tanh, lstm, gru"):
        Rnn("relu")  # type: ignore[arg-type]
    with pytest.raises(BadValue, match="num_layers"):
        Rnn("gru", num_layers=0)


@pytest.mark.timeout(400)  # half a minute of training, more on a busy machine
def test_rnn_reads_the_held_out_digits(top1: Callable[[Exportable], float]) -> None:
    assert top1(rnn()) >= 0.97


@pytest.mark.parametrize("cell", ["tanh", "gru"])
def test_rnn_learns_with_each_cell(cell: Cell, top1: Callable[[Exportable], float]) -> None:
    assert top1(rnn(cell=cell, epochs=3)) >= 0.5


def test_rnn_describes_itself() -> None:
    made = rnn(cell="gru", epochs=3)
    assert {name: tuple(x.shape) for name, x in made.inputs().items()} == {"rows": (2, 28, 28)}
    assert made.dynamic == {"rows": ("batch:1..64", "time:1..", None)}
    assert made.metric == "top1"
    assert made.labels == tuple("0123456789")
    assert not made.module.training
