"""`edgekit export` and what can go wrong on its way: one sentence, nothing half-written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Here = Callable[..., int]
Captured = pytest.CaptureFixture[str]
Document = Callable[[str, str], Any]

FACTORIES = """
import sys, time
from torch import nn, rand

def make(width: int = 4):
    print("the factory speaks")
    print("and complains", file=sys.stderr)
    return nn.Sequential(nn.Linear(3, width), nn.ReLU()), (rand(2, 3),)

def raises():
    print("the factory speaks")
    raise RuntimeError("there are no weights here")

def exits():
    sys.exit("enough")

def hangs():
    time.sleep(1000)
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A folder of its own with net.py, whose factories work, raise, exit and hang."""
    pytest.importorskip("torch", reason="a factory makes torch modules")
    (tmp_path / "net.py").write_text(FACTORIES)
    return tmp_path


def left_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.name != "__pycache__")


def test_a_factory_that_prints_is_exported_and_benched(
    net: Path, edgekit: Any, document: Document
) -> None:
    done = edgekit(
        *("export", "net.py:make", "-p", "width=5", "--dynamic", "input=batch:1..8", "--json")
    )
    assert done.returncode == 0, done.stderr
    exported = document("export", done.stdout)
    assert exported.path == "net.edgekit"
    assert exported.package.provenance.parameters == {"width": "5"}
    assert done.stderr.splitlines()[0] == "exporting net.py:make"
    assert "speaks" not in done.stderr
    assert left_in(net) == ["net.edgekit", "net.py"]
    done = edgekit(
        "bench", "net.edgekit", "--starts", "2", "--rounds", "1", "--batch", "3", "--json"
    )
    assert done.returncode == 0, done.stderr
    report = document("bench", done.stdout)
    assert [row.label for row in report.rows] == ["PyTorch eager", "fp32 · cpu"]
    assert report.bench.baseline_is == "the PyTorch original"
    assert report.bench.sizes == {"batch": 3}
    assert report.rows[1].speedup is not None


@pytest.mark.parametrize(
    ("factory", "options", "said"),
    [
        ("raises", (), "net.py:raises raised RuntimeError: there are no weights here (at "),
        ("exits", (), "net.py:exits called exit('enough') (at "),
        ("hangs", ("--time-limit", "2"), "export of net.py:hangs: no answer within 2 s"),
        ("maek", (), "Did you mean 'make'?"),
    ],
)
def test_a_factory_that_fails_is_one_sentence(
    factory: str, options: tuple[str, ...], said: str, net: Path, here: Here, capsys: Captured
) -> None:
    assert here("export", f"net.py:{factory}", *options) in (1, 2)
    shown = capsys.readouterr()
    assert shown.out == ""
    progress, sentence = shown.err.splitlines()
    assert progress == f"exporting net.py:{factory}"
    assert sentence.startswith("Error: ")
    assert said in sentence
    assert left_in(net) == ["net.py"]


def test_debug_shows_what_the_worker_printed(net: Path, here: Here, capsys: Captured) -> None:
    assert here("export", "net.py:raises", "--debug") == 1
    said = capsys.readouterr().err
    assert "export of net.py:raises: the factory speaks\n" in said
    assert "Traceback (most recent call last)" in said


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("nosuch",), 2, "There is no reference model 'nosuch'; there is: alexnet,"),
        (("nosuch.py:make",), 1, "nosuch.py does not exist"),
        (("nosuch.onnx",), 1, "nosuch.onnx does not exist"),
        (("cnn", "-p", "width"), 2, "-p cannot be 'width': expected NAME=VALUE"),
        (("cnn", "--dynamic", "image"), 2, "--dynamic cannot be 'image': expected input=batch"),
        (("cnn", "--opset", "twenty"), 2, "'twenty' is not a valid integer"),
    ],
)
def test_what_is_not_there_or_not_meant_is_said(
    arguments: tuple[str, ...],
    code: int,
    said: str,
    tmp_path: Path,
    here: Here,
    capsys: Captured,
) -> None:
    pytest.importorskip("torch", reason="the reference models are torch modules")
    assert here("export", *arguments) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("-p", "widht=3"), 2, "Did you mean 'width'?"),
        (("--dynamic", "inptu=batch"), 2, "Did you mean 'input'?"),
        (("--opset", "99"), 1, "Opset 99 was asked for and torch gave opset"),
    ],
)
def test_options_that_do_not_fit_the_module_are_named(
    options: tuple[str, ...], code: int, said: str, net: Path, here: Here, capsys: Captured
) -> None:
    assert here("export", "net.py:make", *options) == code
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert left_in(net) == ["net.py"]


def test_a_folder_that_is_no_package_is_never_replaced(
    tmp_path: Path, here: Here, capsys: Captured
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("years of work")
    assert here("export", "cnn", "-o", "theirs", "--overwrite") == 2
    assert "theirs exists and is not a model package" in capsys.readouterr().err
    assert (theirs / "thesis.txt").read_text() == "years of work"


def test_a_package_is_replaced_when_that_is_asked_for(
    tiny_onnx: Any, tmp_path: Path, here: Here, capsys: Captured
) -> None:
    tiny_onnx()
    assert here("export", "tiny.onnx") == 0
    first = (tmp_path / "tiny.edgekit" / "manifest.json").read_bytes()
    assert here("export", "tiny.onnx") == 2
    assert "tiny.edgekit exists. Add --overwrite" in capsys.readouterr().err
    tiny_onnx(second_input=True)
    assert here("export", "tiny.onnx", "--overwrite") == 0
    assert (tmp_path / "tiny.edgekit" / "manifest.json").read_bytes() != first
    assert left_in(tmp_path) == ["tiny.edgekit", "tiny.onnx"]


def test_an_onnx_file_is_packed_without_torch(
    tiny_onnx: Any, edgekit: Any, without_torch: dict[str, str], document: Document
) -> None:
    tiny_onnx()
    done = edgekit("export", "tiny.onnx", "-o", "packed.edgekit", "--json", env=without_torch)
    assert done.returncode == 0, done.stderr
    exported = document("export", done.stdout)
    assert (exported.path, exported.package.provenance.original) == ("packed.edgekit", "onnx")
    done = edgekit("check", "packed.edgekit", env=without_torch)
    assert done.returncode == 0, done.stderr


def test_what_an_onnx_file_was_made_from_is_said(
    tiny_onnx: Any, here: Here, capsys: Captured
) -> None:
    assert here("export", tiny_onnx()) == 0
    out = capsys.readouterr().out
    assert "Original: the .onnx file itself; there is no PyTorch module behind it." in out
    assert "made-up values" in out


def test_an_onnx_file_takes_no_options_of_an_export(
    tiny_onnx: Any, tmp_path: Path, here: Here, capsys: Captured
) -> None:
    options = ("-p", "a=1", "--dynamic", "x=batch", "--opset", "20", "--external-data")
    assert here("export", tiny_onnx(), *options) == 2
    said = capsys.readouterr().err
    assert "--opset, --external-data, --param, --dynamic" in said
    assert left_in(tmp_path) == ["tiny.onnx"]


def test_without_torch_an_export_names_the_extra(
    edgekit: Any, without_torch: dict[str, str]
) -> None:
    done = edgekit("export", "cnn", "-o", "made.edgekit", env=without_torch)
    assert done.returncode == 1
    assert "pip install 'edgekit-onnx[export]'" in done.stderr.splitlines()[-1]


def test_a_foreign_exporters_is_named(tmp_path: Path, edgekit: Any) -> None:
    other = tmp_path / "elsewhere" / "exporters"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("")
    done = edgekit("export", "cnn", env={"PYTHONPATH": str(other.parent)})
    assert done.returncode == 1
    assert f"Another package named 'exporters' hides edgekit's own: {other}" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tiny_onnx: Any, tmp_path: Path, edgekit: Any
) -> None:
    import resource

    def no_file_may_grow() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))

    tiny_onnx()
    done = edgekit("export", "tiny.onnx", preexec_fn=no_file_may_grow)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("Error: ")
    assert "could not be written: a file would be larger than is allowed here." in last
    assert "Traceback" not in done.stderr
    assert left_in(tmp_path) == ["tiny.onnx"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--seed", "-1"), "the seed cannot be -1"),
        (("--seed", str(2**63)), "the seed cannot be 9223372036854775808"),
        (("--opset", "0"), "the opset cannot be 0"),
        (("--opset", str(2**70)), "the opset cannot be 11805916"),
        (("--tolerance", "inf"), "the tolerance cannot be inf"),
        (("--tolerance", "nan"), "the tolerance cannot be nan"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(
    options: tuple[str, ...], said: str, tmp_path: Path, here: Here, capsys: Captured
) -> None:
    assert here("export", "cnn", *options) == 2
    assert said in capsys.readouterr().err
    assert left_in(tmp_path) == []


def test_the_suffix_of_an_onnx_file_may_be_in_capitals(
    tiny_onnx: Any, here: Here, capsys: Captured
) -> None:
    path = tiny_onnx()
    loud = path.rename(path.with_suffix(".ONNX"))
    assert here("inspect", loud.name) == 0
    assert here("export", loud.name) == 0
    assert here("check", "tiny.edgekit") == 0
    assert here("bench", loud.name, "--starts", "2", "--rounds", "1") == 0
