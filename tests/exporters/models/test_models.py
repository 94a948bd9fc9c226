from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from edgekit import terms
from edgekit.errors import MissingExtra, UnknownName
from exporters import models


def test_names_lists_the_files_of_the_folder() -> None:
    assert "cnn" in models.names()
    assert list(models.names()) == sorted(models.names())


def test_described_has_a_sentence_for_each_model() -> None:
    described = models.described()
    assert tuple(model.name for model in described) == models.names()
    summaries = {model.name: model.summary for model in described}
    assert summaries["cnn"] == "A small convolutional network that reads handwritten digits."
    assert all(summary.endswith(".") for summary in summaries.values())


def test_described_reads_the_parameters_that_the_factory_has() -> None:
    """What the source says must be what Python makes of it."""
    for model in models.described():
        signature = inspect.signature(models.find(model.name), eval_str=True)
        assert [p.name for p in model.parameters] == list(signature.parameters)
        for parameter in model.parameters:
            declared = signature.parameters[parameter.name]
            assert declared.kind is declared.KEYWORD_ONLY
            assert parameter.default == str(declared.default)
            assert parameter.choices == terms.members(declared.annotation) or not parameter.choices


def test_described_lists_the_choices_of_a_closed_set() -> None:
    (rnn,) = (model for model in models.described() if model.name == "rnn")
    assert rnn.parameters[0] == models.Parameter("cell", "str", "lstm", ("tanh", "lstm", "gru"))
    assert rnn.parameters[1] == models.Parameter("num_layers", "int", "1")


def test_find_suggests_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'cnn'"):
        models.find("cmn")


@pytest.mark.parametrize("name", models.names())
def test_find_returns_the_factory_named_like_its_file(name: str) -> None:
    factory = models.find(name)
    assert factory.__name__ == name
    assert factory.__module__ == f"exporters.models.{name}"


def test_find_names_the_extra_when_torch_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for loaded in [key for key in sys.modules if key.startswith("exporters.models.")]:
        monkeypatch.delitem(sys.modules, loaded)
    for loaded in [key for key in sys.modules if key.partition(".")[0] == "torch"]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"edgekit-onnx\[export\]"):
        models.find("cnn")


def test_listing_the_models_loads_no_torch() -> None:
    script = (
        "import sys; from exporters import models; models.names(); models.described(); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "False", done.stderr
