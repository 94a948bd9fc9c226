"""`edgekit sensitivity`: the table, the JSON, the defaults, and what is refused."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit import machine
from edgekit.package import reading
from edgekit.quantize.searching.keeping import kept_sensitivities
from edgekit.report.documents import SensitivityDocument

pytest.importorskip("onnx", reason="models are converted with onnx")

Here = Callable[..., int]
Captured = pytest.CaptureFixture[str]
Document = Callable[[str, str], Any]


def test_nodes_are_ranked_and_the_next_command_is_told(
    tiny_package: Path, here: Here, capsys: Captured
) -> None:
    options = ("--scheme", "fp16", "--target", "openvino", "--cases", "2")
    assert here("sensitivity", tiny_package, *options) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0].startswith(f"{tiny_package}  fp32 in fp16 for ")
    assert lines[0].endswith("3 nodes, each node alone over 2 cases")
    assert {line.split()[1] for line in lines[3:6]} == {"MatMul:product", "Add:sum", "Relu:y"}
    assert lines[-1].startswith(
        f"Next: edgekit quantize {tiny_package} --scheme fp16 --target openvino"
    )
    assert "quantizing each of 3 nodes alone" in said.err


def test_json_alone_is_printed(
    tiny_package: Path, here: Here, capsys: Captured, document: Document
) -> None:
    options = ("--scheme", "fp16", "--by", "group", "--cases", "1", "--json")
    assert here("sensitivity", tiny_package, *options) == 0
    found = document("sensitivity", capsys.readouterr().out)
    assert isinstance(found, SensitivityDocument)
    assert found.path == str(tiny_package)
    ranked = found.sensitivity
    assert (ranked.by, ranked.scheme, ranked.cases) == ("group", "fp16", 1)
    assert sorted(node for row in ranked.rows for node in row.nodes) == [
        *("Add:sum", "MatMul:product", "Relu:y"),
    ]
    key = machine.speed_key(machine.describe())
    assert kept_sensitivities(tiny_package, reading.read(tiny_package), key) == (ranked,)


def test_a_process_of_its_own_does_it(tiny_package: Path, edgekit: Any) -> None:
    done = edgekit("sensitivity", tiny_package, "--scheme", "fp16", "--top", "1")
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0)
    assert "… and 2 more: --top 3, or --json" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "Missing argument 'PACKAGE'"),
        (("tiny.edgekit", "--scheme", "int9"), 2, "'int9' is not one of"),
        (("tiny.edgekit", "--by", "layer"), 2, "'layer' is not one of 'node', 'group'"),
        (("tiny.edgekit", "--scheme", "fp16", "--target", "cdua"), 2, "Did you mean 'cuda'?"),
        (("tiny.edgekit", "--variant", "fp23"), 2, "Did you mean 'fp32'?"),
        (("tiny.edgekit",), 2, "--calib-data"),
        (("tiny.edgekit", "--calib-data", "images.npz"), 1, "images.npz"),
        (("missing.edgekit",), 1, "does not exist"),
        (("tiny.onnx",), 2, "edgekit export tiny.onnx"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    arguments: tuple[str, ...],
    code: int,
    said: str,
    tiny_package: Path,
    here: Here,
    capsys: Captured,
) -> None:
    assert tiny_package.exists()
    assert here("sensitivity", *arguments) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
    assert "Traceback" not in shown.err


def test_the_defaults_are_those_of_the_library(
    stated_defaults: Callable[[str], dict[str, str]],
) -> None:
    from edgekit.quantize.searching.sensitivity import sensitivity
    from edgekit.report.sensitivity import ranked

    library = {
        parameter.name: parameter.default
        for function in (sensitivity, ranked)
        for parameter in inspect.signature(function).parameters.values()
    }
    stated = stated_defaults("sensitivity")
    assert set(stated) == {"scheme", "variant", "by", "cases", "top", "wall_s"}
    assert stated == {
        name: f"{library[name]:g}" if isinstance(library[name], int | float) else library[name]
        for name in stated
    }
