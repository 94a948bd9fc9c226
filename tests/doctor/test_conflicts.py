from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit import doctor
from edgekit.doctor.report import Finding

Installed = Callable[[dict[str, str]], None]


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Path]:
    """Write files of a distribution that seems installed, and its list of them."""

    def write(name: str, version: str, contents: dict[str, str]) -> Path:
        folder = tmp_path / "site/onnxruntime"
        lines = []
        for file, text in contents.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
            hashed = digest.rstrip(b"=").decode()
            lines.append(f"onnxruntime/{file},sha256={hashed},{len(text)}")
        info = tmp_path / f"site/{name.replace('-', '_')}-{version}.dist-info"
        (info / "RECORD").write_text("\n".join(lines))
        return folder

    return write


def conflict(subject: str) -> Finding:
    return {finding.subject: finding for finding in doctor.examine().conflicts}[subject]


def test_two_onnxruntimes_are_a_problem(installed: Installed) -> None:
    installed({"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.31.1"})
    found = conflict("one onnxruntime")
    assert found.severity == "problem"
    assert "onnxruntime 1.32.0, onnxruntime-gpu 1.31.1" in found.says
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in found.mend


def test_an_owner_of_another_name_is_found_by_its_list_of_files(
    installed: Installed, tmp_path: Path
) -> None:
    installed({"onnxruntime": "1.32.0", "somebodys-runtime": "3.0"})
    for info in (tmp_path / "site").iterdir():
        (info / "RECORD").write_text("onnxruntime/__init__.py,sha256=x,1\n")
    found = conflict("one onnxruntime")
    assert found.severity == "problem"
    assert "onnxruntime 1.32.0, somebodys-runtime 3.0" in found.says
    assert "pip uninstall -y onnxruntime somebodys-runtime" in found.mend


def test_files_that_are_others_than_installed_are_named(
    installed: Installed, record: Callable[..., Path]
) -> None:
    installed({"onnxruntime": "1.32.0"})
    folder = record("onnxruntime", "1.32.0", {f"capi/part{n}.so": f"{n}" for n in range(5)})
    found = conflict("files of onnxruntime")
    assert (found.severity, found.mend) == ("ok", "")
    assert "All 5" in found.says
    for n in range(4):
        (folder / f"capi/part{n}.so").write_text("X")  # as long as before
    found = conflict("files of onnxruntime")
    assert found.severity == "problem"
    assert "4 of 5 are others than onnxruntime 1.32.0 installed" in found.says
    assert "onnxruntime/capi/part0.so" in found.says
    assert found.says.endswith("and 1 more.")
    assert found.mend == "Run: pip install --force-reinstall --no-deps onnxruntime==1.32.0"


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


def test_whoever_has_files_in_edgekits_folder_is_named(
    installed: Installed, tmp_path: Path
) -> None:
    installed({"edgekit-onnx": "0.1.0", "some-edge-tools": "2.0"})
    for info in (tmp_path / "site").iterdir():
        (info / "RECORD").write_text("edgekit/__init__.py,sha256=x,1\n")
    found = conflict("the name edgekit")
    assert found.severity == "problem"
    assert found.says.startswith("some-edge-tools 2.0 is somebody else's")
    assert found.mend.startswith("Run: pip uninstall -y some-edge-tools &&")


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
