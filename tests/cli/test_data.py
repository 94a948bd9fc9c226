"""`--eval-data` and `--calib-data`: what a user's own cases change, and what they may not be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.package import reading
from edgekit.tensors import Array

Here = Callable[..., int]
Captured = pytest.CaptureFixture[str]
Document = Callable[[str, str], Any]
Answer = Callable[[dict[str, Any]], Array]
QUICK = ("--starts", "2", "--rounds", "1", "--threads", "1")

NET = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3)), (torch.rand(2, 4),)
"""
CASES = """
import numpy as np

def held_out():
    print("reading the held-out cases")
    made = np.random.default_rng(1)
    for _ in range(6):
        yield {"input": made.random((4, 4))}, made.integers(0, 3, 4)

def train():
    made = np.random.default_rng(2)
    for _ in range(9):
        yield {"input": made.random((1, 4), np.float32)}
"""


def write(path: Path, *, seed: int, answer: Answer | None = None, **more: Any) -> None:
    arrays: dict[str, Any] = {"x": np.random.default_rng(seed).standard_normal((12, 4)), **more}
    if answer is not None:
        arrays["label"] = answer({"x": arrays["x"].astype(np.float32)}).argmax(1)
    np.savez(path, **arrays)


def test_bench_measures_on_given_data_and_says_so(
    tiny_package: Path, tiny_answer: Answer, tmp_path: Path, here: Here, capsys: Captured
) -> None:
    write(tmp_path / "held.npz", seed=9, answer=tiny_answer)
    assert here("bench", tiny_package, *QUICK, "--eval-data", "held.npz") == 0
    said = capsys.readouterr().out
    assert "12 held-out cases of held.npz" in said.splitlines()[0]
    assert "Note: quality is measured on the given cases of held.npz" in said


def test_bench_of_given_data_is_a_document(
    tiny_package: Path,
    tiny_answer: Answer,
    tmp_path: Path,
    here: Here,
    capsys: Captured,
    document: Document,
) -> None:
    write(tmp_path / "held.npz", seed=9, answer=tiny_answer)
    assert here("bench", tiny_package, *QUICK, "--eval-data", "held.npz", "--json") == 0
    report = document("bench", capsys.readouterr().out)
    assert report.bench.measurements[0].quality.dataset == "cases of held.npz"
    assert report.rows[0].accuracy.value == 1.0


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["--eval-data", "lost.npz"], 1, "lost.npz does not exist; expected data: an .npz"),
        (["--eval-data", "nan.npz"], 1, "at case 0: x is NaN or infinite in 4 of 4 elements"),
        (["--eval-data", "bare.npz"], 1, "at case 0: It has no label, and the model is judged by"),
        (["--eval-data", "held.npz", "--calib-data", "held.npz"], 2, "12 of the 12 rows"),
        (["--eval-data", "data.csv"], 2, "The evaluation data data.csv cannot be a .csv file"),
    ],
)
def test_bench_refuses_data_that_cannot_be_measured_on(
    options: list[str],
    code: int,
    sentence: str,
    tiny_package: Path,
    tiny_answer: Answer,
    tmp_path: Path,
    here: Here,
    capsys: Captured,
) -> None:
    write(tmp_path / "held.npz", seed=9, answer=tiny_answer)
    write(tmp_path / "bare.npz", seed=9)
    write(tmp_path / "nan.npz", seed=9, x=np.full((12, 4), np.nan))
    (tmp_path / "data.csv").write_text("x\n1\n")
    assert here("bench", tiny_package, *QUICK, *options) == code
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.out == ""


def test_an_export_of_an_onnx_file_packs_given_data(
    tiny_onnx: Callable[[], Path],
    tiny_answer: Answer,
    tmp_path: Path,
    here: Here,
    capsys: Captured,
) -> None:
    write(tmp_path / "held.npz", seed=9, answer=tiny_answer)
    write(tmp_path / "train.npz", seed=10)
    data = ("--eval-data", "held.npz", "--calib-data", "train.npz")
    assert here("export", tiny_onnx(), "-o", "out.edgekit", *data) == 0
    assert "12 held-out cases of held.npz, 12 calibration cases of train.npz" in (
        capsys.readouterr().out
    )
    assert reading.read(tmp_path / "out.edgekit").metric == "top1"


def test_an_export_takes_a_factory_s_cases_and_keeps_its_json_clean(
    tmp_path: Path, edgekit: Any, document: Document
) -> None:
    pytest.importorskip("torch", reason="a factory makes torch modules")
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "my_cases.py").write_text(CASES)
    done = edgekit(
        *("export", "net.py:make", "--dynamic", "input=batch:1..8", "--json"),
        *("--eval-data", "my_cases.py:held_out", "--calib-data", "my_cases.py:train"),
    )
    assert done.returncode == 0, done.stderr
    package = document("export", done.stdout).package
    graph = package.graphs[0]
    assert package.metric == "top1"
    assert (graph.evaluation.name, graph.evaluation.cases) == (
        "cases of my_cases.py:held_out",
        24,
    )
    assert (graph.calibration.name, graph.calibration.cases) == ("cases of my_cases.py:train", 9)
    benched = edgekit(
        *("bench", "net.edgekit", *QUICK, "--json", "--eval-data", "my_cases.py:held_out")
    )
    assert benched.returncode == 0, benched.stderr
    quality = document("bench", benched.stdout).bench.measurements[0].quality
    assert (quality.cases, quality.dataset) == (24, "cases of my_cases.py:held_out")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--eval-data", "lost.npz"], "lost.npz does not exist"),
        (["--calib-data", "my_cases.py:nothing"], "There is no factory 'nothing' in my_cases.py"),
        (["--eval-data", "wrong.npz"], "There is no input 'x'; expected: input: float32"),
        (
            ["--eval-data", "classes.npz"],
            "its label is 3, and the module scores the classes 0 to 2",
        ),
        (
            ["--eval-data", "my_cases.py:train", "--calib-data", "my_cases.py:train"],
            "9 of the 9 rows",
        ),
    ],
)
def test_an_export_refuses_data_that_do_not_fit_and_writes_nothing(
    options: list[str], sentence: str, tmp_path: Path, here: Here, capsys: Captured
) -> None:
    pytest.importorskip("torch", reason="a factory makes torch modules")
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "my_cases.py").write_text(CASES)
    np.savez(tmp_path / "wrong.npz", x=np.zeros((2, 4)))
    np.savez(tmp_path / "classes.npz", input=np.zeros((2, 4)), label=[0, 3])
    assert here("export", "net.py:make", *options, "--dynamic", "input=batch:1..8") in (1, 2)
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "net.edgekit").exists()
