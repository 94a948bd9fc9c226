from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import onnxruntime
import pytest

from edgekit import doctor, graphics, providers
from edgekit.doctor import Report
from edgekit.doctor.report import SCHEMA_VERSION, Finding, PackageFinding
from edgekit.errors import BadValue, UnknownName
from edgekit.graphics import Graphics
from edgekit.installed import RUNTIMES

Installed = Callable[[dict[str, str]], None]


def test_report_of_this_machine_is_usable_and_survives_json() -> None:
    report = doctor.examine()
    assert report.usable
    assert report.schema_version == SCHEMA_VERSION
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_every_problem_says_how_to_mend_it() -> None:
    report = doctor.examine()
    findings: list[Finding | PackageFinding] = [*report.python, *report.conflicts, *report.limits]
    findings += [*report.packages, *report.nvidia]
    for finding in findings:
        assert finding.says.strip()
        assert finding.severity != "problem" or finding.mend, finding
    for row in report.providers:
        assert row.diagnosis.usable or row.diagnosis.mend, row


def test_every_provider_has_a_row() -> None:
    rows = {row.name: row for row in doctor.examine().providers}
    assert list(rows) == providers.names()
    assert rows["cpu"].severity == "ok"
    for name, row in rows.items():
        assert row.ort_name == providers.find(name).ort_name
        assert (row.severity == "ok") == row.diagnosis.usable


def test_one_provider_is_examined_alone() -> None:
    report = doctor.examine_provider("cpu")
    assert report.usable
    assert report.provider == "cpu"
    assert [row.name for row in report.providers] == ["cpu"]
    assert not report.limits
    assert not report.features
    assert not report.nvidia
    assert {row.distribution for row in report.packages} <= set(RUNTIMES)
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_a_provider_that_cannot_be_used_makes_the_report_unusable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(graphics, "look", lambda **_: Graphics(none_because="it is a test"))
    report = doctor.examine_provider("cuda")
    assert not report.usable
    assert report.providers[0].diagnosis.cause
    assert "libcublas.so.13" in report.providers[0].needs


def test_a_provider_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'cuda'"):
        doctor.examine_provider("cud")
    with pytest.raises(BadValue):
        doctor.examine_provider("cpu", library="/x.so")


def test_a_plugin_is_examined_by_its_library(tmp_path: Path) -> None:
    report = doctor.examine_provider("some_ep", library=str(tmp_path / "gone.so"))
    assert not report.usable
    assert "there is no file" in report.providers[0].diagnosis.cause


def test_without_onnxruntime_nothing_is_usable_and_the_rest_is_still_told(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed({"numpy": "2.4.6"})
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    report = doctor.examine()
    assert not report.usable
    severities = {row.name: row.severity for row in report.providers}
    assert severities["cpu"] == "problem"
    assert severities["cuda"] == "note"
    conflict = {finding.subject: finding for finding in report.conflicts}["import onnxruntime"]
    assert conflict.severity == "problem"
    assert "edgekit-onnx[cpu]" in conflict.mend
    package = {row.distribution: row for row in report.packages}["onnxruntime"]
    assert package.severity == "problem"
    assert "edgekit-onnx[cpu]" in package.mend


def test_a_build_without_the_cpu_is_not_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["DmlExecutionProvider"])
    assert not doctor.examine().usable


def test_examining_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache/edgekit"))
    doctor.examine()
    assert list(tmp_path.iterdir()) == []


def test_examining_needs_none_of_what_it_looks_for(fresh_python: Callable[[str], str]) -> None:
    said = fresh_python(
        "import sys\n"
        "for name in ('onnxruntime', 'numpy', 'onnx', 'torch', 'click', 'rich', 'psutil'):\n"
        "    sys.modules[name] = None\n"
        "from edgekit import doctor\n"
        "print(doctor.examine().usable)"
    )
    assert said.strip() == "False"
