"""`edgekit quantize`, as it is typed."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.package import reading
from edgekit.report.documents import QuantizeDocument

pytest.importorskip("onnx", reason="models are converted with onnx")

Here = Callable[..., int]
Captured = pytest.CaptureFixture[str]
Document = Callable[[str, str], Any]


def test_a_variant_is_made_and_told(tiny_package: Path, here: Here, capsys: Captured) -> None:
    assert here("quantize", tiny_package, "--scheme", "fp16") == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0].startswith(
        f"{tiny_package}  fp16 · fp16, made from fp32 for any machine with the provider cuda · "
    )
    assert lines[1] == "On 20 held-out cases:"
    assert [line.split()[0] for line in lines[3:5]] == ["fp32", "fp16"]
    assert "It pays on GPUs" in said.out
    assert f"Next: edgekit bench {tiny_package} --provider cuda" in said.out
    assert "measuring fp16 beside fp32" in said.err
    assert [v.name for v in reading.read(tiny_package).variants] == ["fp32", "fp16"]


def test_the_variant_is_checked_and_benched_on_this_machine(
    tiny_package: Path, here: Here, capsys: Captured, document: Document
) -> None:
    assert here("quantize", tiny_package, "--scheme", "fp16") == 0
    assert here("check", tiny_package) == 0
    assert "tiny · fp16 · cpu" in capsys.readouterr().out
    assert here("inspect", tiny_package, "--json") == 0
    found = document("inspect", capsys.readouterr().out).inspection
    assert [(v.name, v.provider) for v in found.variants] == [("fp32", "cpu"), ("fp16", "cuda")]


def test_json_alone_is_printed(
    tiny_package: Path, here: Here, capsys: Captured, document: Document
) -> None:
    options = ("--name", "half", "--target", "openvino", "--keep-float", "Add:sum", "--json")
    assert here("quantize", tiny_package, "--scheme", "fp16", *options) == 0
    found = document("quantize", capsys.readouterr().out)
    assert isinstance(found, QuantizeDocument)
    assert found.path == str(tiny_package)
    done = found.quantized
    assert (done.variant.name, done.variant.target.provider) == ("half", "openvino")
    assert done.kept == {"Add:sum": "asked for"}
    assert done.variant.recipe is not None
    assert done.variant.recipe.keep_float == ("Add:sum",)


def test_what_made_up_values_made_is_marked_wherever_it_is_shown(
    tiny_package: Path, here: Here, capsys: Captured, document: Document
) -> None:
    made = ("--scheme", "int8-static", "--synthetic", "--name", "small")
    assert here("quantize", tiny_package, *made) == 0
    assert "Warning: made with made-up values" in capsys.readouterr().out
    small = f"{tiny_package}:small"
    quick = ("--starts", "2", "--rounds", "1", "--threads", "1")
    for command in (
        ("check", tiny_package),
        ("compare", tiny_package, small),
        ("bench", tiny_package, *quick),
    ):
        here(*command)
        assert capsys.readouterr().out.count("small was made with made-up values") == 1
        here(*command, "--json")
        assert capsys.readouterr().out.count("small was made with made-up values") == 1
    here("check", tiny_package, "--variant", "fp32")
    here("compare", tiny_package, f"{tiny_package}:fp32")
    assert "made-up" not in capsys.readouterr().out
    here("inspect", tiny_package)
    said = capsys.readouterr().out
    assert "small, made with made-up values, keeps" in said
    assert said.count("made-up") == 1
    here("inspect", tiny_package, "--json")
    variants = document("inspect", capsys.readouterr().out).inspection.variants
    assert [(v.name, v.synthetic) for v in variants] == [("fp32", False), ("small", True)]


def test_the_exported_cnn_gets_an_fp16_variant(
    cnn_package: Path, edgekit: Any, tmp_path: Path
) -> None:
    path = tmp_path / "cnn.edgekit"
    shutil.copytree(cnn_package, path)
    done = edgekit("quantize", path, "--scheme", "fp16")
    assert (done.returncode, "Warning" in done.stdout) == (0, False)
    assert "On 1,500 held-out digits:" in done.stdout
    assert "×0.50" in done.stdout
    again = edgekit("quantize", path, "--scheme", "fp16")
    assert (again.returncode, again.stdout) == (2, "")
    assert "or --overwrite to replace that one" in again.stderr
    assert edgekit("quantize", path, "--scheme", "fp16", "--overwrite").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("tiny.edgekit",), 2, "Missing option '--scheme'"),
        (("tiny.edgekit", "--scheme", "fp15"), 2, "'fp15' is not one of 'fp16'"),
        (("tiny.edgekit", "--scheme", "fp16", "--target", "cdua"), 2, "Did you mean 'cuda'?"),
        (("tiny.edgekit", "--scheme", "fp16", "--variant", "fp23"), 2, "Did you mean 'fp32'?"),
        (("tiny.edgekit", "--scheme", "fp16", "--name", "tuned"), 2, "a word that isn't reserved"),
        (("tiny.edgekit", "--scheme", "fp16", "--name", "fp32"), 2, "is never replaced"),
        (("tiny.edgekit", "--scheme", "fp16", "--keep-float", "Ad:sum"), 2, "mean 'Add:sum'?"),
        (("missing.edgekit", "--scheme", "fp16"), 1, "does not exist"),
        (("tiny.onnx", "--scheme", "fp16"), 2, "edgekit export tiny.onnx"),
        (("folder", "--scheme", "fp16"), 1, "is not a model package that can be trusted"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    arguments: tuple[str, ...],
    code: int,
    said: str,
    tiny_package: Path,
    here: Here,
    capsys: Captured,
    tmp_path: Path,
) -> None:
    (tmp_path / "folder").mkdir()
    before = reading.identity(tiny_package)
    assert here("quantize", *arguments) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
    assert "Traceback" not in shown.err
    assert reading.identity(tiny_package) == before


def test_without_onnx_the_extra_is_named(tiny_package: Path, edgekit: Any, tmp_path: Path) -> None:
    shim = tmp_path / "no-onnx"
    shim.mkdir()
    (shim / "onnx.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'onnx'\", name='onnx')\n"
    )
    env = {"PYTHONPATH": str(shim)}
    done = edgekit("quantize", tiny_package, "--scheme", "fp16", env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert "pip install 'edgekit-onnx[build]'" in done.stderr


def test_the_defaults_are_those_of_the_library(
    stated_defaults: Callable[[str], dict[str, str]],
) -> None:
    from edgekit.quantize import quantize, scheme

    library = {
        p.name: p.default
        for p in inspect.signature(quantize).parameters.values()
        if p.default is not inspect.Parameter.empty
    }
    stated = stated_defaults("quantize")
    assert stated.pop("name") == "the scheme"
    words = {"integers": "int8-static", "fp16": "fp16", "bf16": "bf16"}
    integers, fp16, bf16 = (scheme.find(name).target for name in words.values())
    assert (integers, fp16) == ("cpu", bf16)
    assert stated.pop("target") == f"{integers} for integers, {fp16} for fp16 and bf16"
    assert (library["name"], library["target"]) == (None, None)
    assert stated.pop("undecided") == library["undecided"]
    # What the scheme, or the package, has for a default isn't the library's.
    for left in ("method", "smooth", "bias_correction", "block_size", "eval_data", "calib_data"):
        stated.pop(left, None)
    assert stated == {"variant": library["variant"], "wall_s": f"{library['wall_s']:g}"}
