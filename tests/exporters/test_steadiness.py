from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekit.errors import FactoryFailed
from edgekit.tensors import Dim, Signature, TensorSpec
from exporters.exportable import Exportable
from exporters.original import Original
from exporters.steadiness import Steadiness, steady_answers

SIGNATURE = Signature((TensorSpec("x", "float32", (Dim("n"), 16)),), ())
FEED = {"x": np.linspace(0.5, 1, 64, dtype=np.float32).reshape(4, 16)}


def steady(module: nn.Module) -> Steadiness:
    original = Original(Exportable(module, (torch.from_numpy(FEED["x"]),), input_names=["x"]))
    return steady_answers(original, SIGNATURE, FEED, label="net", seed=0)


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x + self.calls


class Grows(Counts):
    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return torch.ones(self.calls)


class RemembersTheLast(nn.Module):
    """Answers the same input in the same way until another one comes between."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        seen, self.last = self.last, x.clone()
        return x if seen is None or torch.equal(seen, x) else x - seen


class KeepsTheFirst(nn.Module):
    """Answers every input in one way, which the first one decided."""

    def __init__(self) -> None:
        super().__init__()
        self.first: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.first is None:
            self.first = x.mean()
        return x - self.first


class AsksTheClock(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + time.perf_counter_ns() % 1_000_003


@pytest.mark.parametrize(
    "module", [Counts(), Grows(), RemembersTheLast(), KeepsTheFirst(), AsksTheClock()]
)
def test_a_module_that_depends_on_more_than_its_input_is_refused(module: nn.Module) -> None:
    with pytest.raises(FactoryFailed, match=r"differently from call to call.*between calls"):
        steady(module)


class RandomLength(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[torch.rand(len(x)) > 0.5]


def test_a_shape_that_is_drawn_at_random_is_refused() -> None:
    with pytest.raises(FactoryFailed, match="output has a shape that is drawn at random"):
        steady(RandomLength())


class Draws(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {
            "dropped": nn.functional.dropout(x, training=True),
            "noise": torch.randn_like(x),
            "steady": x * 2,
        }


def test_the_outputs_that_are_drawn_at_random_are_named() -> None:
    answers, drawn, draws = steady(Draws())
    assert draws
    assert drawn == {"dropped", "noise"}
    np.testing.assert_array_equal(answers["steady"], FEED["x"] * 2)


class DrawsSeldom(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + (torch.rand(1) < 1e-9)


class SeedsItself(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        torch.manual_seed(3)
        return x + torch.rand(1)


def test_a_draw_that_hardly_ever_shows_is_noticed_and_numbers_of_its_own_seed_are_none() -> None:
    assert steady(DrawsSeldom())[1:] == (frozenset(), True)
    assert steady(SeedsItself())[1:] == (frozenset(), False)


class Overflows(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.log(x - 0.75) / 0


def test_a_steady_module_passes_with_nan_and_infinity_as_well() -> None:
    answers, drawn, draws = steady(Overflows())
    assert not draws
    assert drawn == frozenset()
    assert np.isnan(answers["output"]).any()
    assert np.isinf(answers["output"]).any()


class Normed(nn.Module):
    """Keeps running statistics in training mode alone."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(16)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(x)
        return normed


class StaysInTraining(Normed):
    def train(self, mode: bool = True) -> StaysInTraining:
        super().train(True)
        return self


def test_a_module_that_stays_in_training_mode_is_steady_where_its_answers_are() -> None:
    for module in (Normed(), StaysInTraining()):
        assert steady(module)[1] == frozenset()
