"""`edgekit models`: every reference model, without torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from exporters import models


def test_models_lists_every_model_with_its_parameters(edgekit: Any) -> None:
    done = edgekit("models")
    assert (done.returncode, done.stderr) == (0, "")
    title, *lines = done.stdout.splitlines()
    assert "-p PARAMETER=DEFAULT" in title
    assert [line.split()[0] for line in lines] == list(models.names())
    (rnn,) = (line for line in lines if line.startswith("rnn "))
    assert "cell=lstm (or tanh, gru), num_layers=1" in rnn


def test_models_as_json_says_the_same(edgekit: Any, document: Callable[[str, str], Any]) -> None:
    done = edgekit("models", "--json")
    assert done.returncode == 0
    listed = {model.name: model for model in document("models", done.stdout).models}
    assert tuple(listed) == models.names()
    cell, *_ = listed["rnn"].parameters
    assert (cell.name, cell.default) == ("cell", "lstm")
    assert cell.choices == ("tanh", "lstm", "gru")


def test_models_are_listed_where_torch_is_missing(
    edgekit: Any, without_torch: dict[str, str]
) -> None:
    done = edgekit("models", env=without_torch)
    assert done.returncode == 0
    assert "transformer" in done.stdout


def test_models_fit_a_terminal(edgekit: Any) -> None:
    done = edgekit("models", env={"COLUMNS": "110"})
    assert max(map(len, done.stdout.splitlines())) <= 110
