from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekit.errors import FactoryFailed
from exporters.answers import answers
from exporters.exportable import Exportable
from exporters.original import Original

X = torch.linspace(-1, 1, 8).reshape(2, 4)


def original_of(module: nn.Module) -> Original:
    return Original(Exportable(module, (X,), input_names=["x"]))


class InPlace(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"y": x.add_(1)}


def test_answers_are_arrays_by_name_and_the_feed_stays_as_it_is() -> None:
    feed = {"x": np.zeros((3, 4), np.float32)}
    answer = answers(original_of(InPlace()), feed)
    assert list(answer) == ["y"]
    assert (answer["y"] == 1).all()
    assert not feed["x"].any()


def test_what_fails_at_the_example_itself_is_not_about_ranges() -> None:
    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise KeyError("weights")

    with pytest.raises(FactoryFailed, match=r"raised KeyError.*test_answers\.py:\d+") as caught:
        answers(original_of(Fails()), {"x": X.numpy()})
    assert "--dynamic" not in str(caught.value)


def test_what_edgekit_says_itself_is_not_said_again() -> None:
    class Text(nn.Module):
        def forward(self, x: Tensor) -> str:
            return "text"

    with pytest.raises(FactoryFailed, match=r"^Text returned str as output; outputs must be"):
        answers(original_of(Text()), {"x": X.numpy()})
