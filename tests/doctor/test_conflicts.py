from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit import doctor
from edgekit.doctor.report import Finding

Installed = Callable[[dict[str, str]], None]


def conflict(subject: str) -> Finding:
    return {finding.subject: finding for finding in doctor.examine().conflicts}[subject]


def test_two_onnxruntimes_are_a_problem(installed: Installed) -> None:
    installed({"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.31.1"})
    found = conflict("one onnxruntime")
    assert found.severity == "problem"
    assert "onnxruntime 1.32.0, onnxruntime-gpu 1.31.1" in found.says
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in found.mend


@pytest.mark.parametrize("name", ["onnxruntime", "onnxruntime-gpu"])
def test_one_onnxruntime_is_right(name: str, installed: Installed) -> None:
    installed({name: "1.31.1"})
    assert conflict("one onnxruntime").severity == "ok"


def test_an_onnxruntime_that_breaks_on_import_is_a_problem(
    installed: Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed({"onnxruntime": "1.32.0"})
    (tmp_path / "site/onnxruntime.py").write_text("import no_such_module_at_all")
    monkeypatch.delitem(sys.modules, "onnxruntime")
    found = conflict("import onnxruntime")
    assert found.severity == "problem"
    assert "no_such_module_at_all" in found.says


def test_the_other_edgekit_is_a_problem(installed: Installed) -> None:
    installed({"edgekit": "0.3", "edgekit-onnx": "0.1.0"})
    found = conflict("the name edgekit")
    assert found.severity == "problem"
    assert "edgekit 0.3" in found.says
    installed({})


def test_our_own_names_are_right_here() -> None:
    assert conflict("the name edgekit").severity == "ok"
    assert conflict("the name exporters").severity == "ok"


@pytest.mark.parametrize("file", ["exporters/__init__.py", "exporters.py"])
def test_foreign_exporters_are_named_by_their_path(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("raise SystemExit('examining must not run this')")
    for name in [name for name in sys.modules if name.split(".")[0] == "exporters"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = conflict("the name exporters")
    assert found.severity == "problem"
    assert str(tmp_path / "exporters") in found.says


def test_no_exporters_at_all_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "exporters"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("edgekit.doctor.conflicts.find_spec", lambda name: None)
    assert conflict("the name exporters").severity == "note"
