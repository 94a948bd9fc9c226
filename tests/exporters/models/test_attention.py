from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.terms import Cell, members
from exporters.exportable import Exportable
from exporters.models.attention import Attention, attention
from exporters.training import seeded

Weights = Callable[[nn.Module], dict[str, np.ndarray]]


def untrained(cell: Cell = "lstm") -> Attention:
    with seeded(3):
        return Attention(cell).double().eval()


def attended(states: np.ndarray, w: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """e_j = exp(s(j)) / Σ_k exp(s(k)), a = Σ_j e_j h_j, for the states of one sequence."""
    s = np.array(
        [w["score.weight"][0] @ np.tanh(w["key.weight"] @ h + w["key.bias"]) for h in states]
    )
    e = np.exp(s) / np.exp(s).sum()
    return e, sum(e_j * h_j for e_j, h_j in zip(e, states, strict=True))


@pytest.mark.parametrize("time", [1, 6])
def test_network_follows_its_equations(time: int, weights: Weights) -> None:
    module = untrained()
    w = weights(module)
    rows = torch.rand(3, time, 28, dtype=torch.float64)
    with torch.no_grad():
        states, _ = module.recurrent(rows)
        e = module.weights(states).numpy()
        y = module(rows).numpy()
    for i in range(len(rows)):
        expected_e, a = attended(states[i].numpy(), w)
        np.testing.assert_allclose(e[i, :, 0], expected_e, rtol=1e-10)
        expected = w["classes.weight"] @ a + w["classes.bias"]
        np.testing.assert_allclose(y[i], expected, rtol=1e-10, atol=1e-12)


def test_attention_weights_sum_to_one_over_time() -> None:
    states = 50 * torch.randn(4, 9, 128, dtype=torch.float64)
    with torch.no_grad():
        e = untrained().weights(states)
    assert e.shape == (4, 9, 1)
    assert (e > 0).all()
    assert torch.allclose(e.sum(1), torch.ones(4, 1, dtype=torch.float64))


def test_attention_weighs_all_states_and_not_the_last_alone() -> None:
    module = untrained()
    states = torch.randn(1, 9, 128, dtype=torch.float64)
    with torch.no_grad():
        assert module.weights(states).max() < 0.5


@pytest.mark.parametrize("cell", members(Cell))
def test_network_takes_any_batch_and_any_number_of_rows(cell: Cell) -> None:
    module = untrained(cell).float()
    with torch.no_grad():
        for batch, time in [(1, 1), (3, 28), (2, 40)]:
            assert module(torch.rand(batch, time, 28)).shape == (batch, 10)


@pytest.mark.timeout(400)  # half a minute of training, more on a busy machine
def test_attention_reads_the_held_out_digits(top1: Callable[[Exportable], float]) -> None:
    assert top1(attention()) >= 0.965


def test_attention_describes_itself() -> None:
    made = attention(epochs=1)
    assert {name: tuple(x.shape) for name, x in made.inputs().items()} == {"rows": (2, 28, 28)}
    assert made.dynamic == {"rows": ("batch:1..64", "time:1..", None)}
    assert made.name == "attention"
    assert not made.module.training
