"""`edgekit compare`: what it takes, prints and ends with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.report.documents import CompareDocument

Here = Callable[..., int]
Captured = pytest.CaptureFixture[str]
Document = Callable[[str, str], Any]

SAME = """
import torch
from exporters.exportable import Exportable


class Net(torch.nn.Module):
    def __init__(self, W, b):
        super().__init__()
        self.W, self.b = torch.nn.Parameter(W), torch.nn.Parameter(b)

    def forward(self, x):
        return torch.relu(x @ self.W + self.b)


def make():
    from safetensors.torch import load_file

    kept = load_file("weights.safetensors")
    return Exportable(
        Net(kept["W"], kept["b"]).eval(),
        (torch.zeros(1, 4),),
        input_names=["x"],
        output_names=["y"],
        dynamic={"x": ("batch:1..8", None)},
    )
"""


def test_a_variant_beside_itself_passes(
    tiny_package: Path, here: Here, capsys: Captured, document: Document
) -> None:
    assert here("compare", tiny_package, f"{tiny_package}:fp32", "--max-drop", "20pp") == 0
    out = capsys.readouterr().out
    assert out.startswith("A  tiny · fp32 · cpu, fp32\nB  tiny · fp32 · cpu, fp32\n")
    assert "Passed: a drop of at most 20 pp is kept: 0.00 pp of 20 cases" in out
    assert here("compare", tiny_package, f"{tiny_package}:fp32", "--json") == 0
    found = document("compare", capsys.readouterr().out)
    assert isinstance(found, CompareDocument)
    assert found.compared.passed
    assert found.compared.cases == 20


def test_past_a_budget_the_exit_code_is_three(
    tiny_package: Path, here: Here, capsys: Captured
) -> None:
    plain = tiny_package / "fp32.onnx"
    asked = ("compare", plain, tiny_package)
    assert here(*asked, "--max-drop", "0.5pp") == 3
    assert "Undecided: a drop of at most 0.5 pp is undecided" in capsys.readouterr().out
    assert here(*asked, "--max-drop", "0.5pp", "--undecided", "accept") == 0
    assert here(*asked, "--min-agreement", "99%", "--min-cosine", "0.9") == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--max-drop", "0.5%"), "--max-drop 0.5pp"),
        (("--min-agreement", "99"), "--min-agreement 99% or 0.99"),
        (("--min-cosine", "99%"), "--min-cosine 0.999"),
        (("--provider", "nowhere"), "There is no execution provider 'nowhere'"),
        (("-p", "size"), "NAME=VALUE"),
    ],
)
def test_what_cannot_be_read_is_refused(
    options: tuple[str, ...], said: str, tiny_package: Path, here: Here, capsys: Captured
) -> None:
    assert here("compare", tiny_package, tiny_package, *options) == 2
    assert said in capsys.readouterr().err


def test_two_targets_or_nothing_there_are_refused(
    tiny_package: Path, here: Here, capsys: Captured
) -> None:
    assert here("compare", "cnn", "rnn") == 2
    assert "at least one that is" in capsys.readouterr().err
    assert here("compare", "none.edgekit", tiny_package) == 1
    assert "none.edgekit does not exist" in capsys.readouterr().err


def test_given_data_are_measured_on(
    tmp_path: Path, tiny_package: Path, here: Here, capsys: Captured
) -> None:
    x = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
    np.savez(tmp_path / "mine.npz", x=x, label=np.zeros(30, np.int64))
    assert here("compare", tiny_package, tiny_package, "--eval-data", "mine.npz") == 0
    assert "On 30 held-out cases of mine.npz" in capsys.readouterr().out


def test_a_module_of_ones_own_is_compared_with_a_package(
    tmp_path: Path, tiny_package: Path, here: Here, capsys: Captured
) -> None:
    pytest.importorskip("torch")
    onnx = pytest.importorskip("onnx")
    from safetensors.numpy import save_file

    model = onnx.load(tiny_package / "fp32.onnx")
    weights = {t.name: onnx.numpy_helper.to_array(t).copy() for t in model.graph.initializer}
    save_file(weights, tmp_path / "weights.safetensors")
    (tmp_path / "net.py").write_text(SAME)
    assert here("compare", "net.py:make", tiny_package, "--min-cosine", "0.99") == 0
    out = capsys.readouterr().out
    assert out.startswith("A  net.py:make · pytorch eager, fp32\n")
    assert "Passed: a cosine of at least 0.99 is kept" in out


def test_the_original_of_a_package_that_nobody_remembers_is_asked_for(
    tiny_package: Path, here: Here, capsys: Captured
) -> None:
    assert here("compare", f"{tiny_package}:original", tiny_package) == 1
    assert "original" in capsys.readouterr().err
