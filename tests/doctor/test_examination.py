from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import onnxruntime
import pytest

from edgekit import doctor, providers
from edgekit.doctor import Report
from edgekit.doctor.report import SCHEMA_VERSION, Finding, PackageFinding

Installed = Callable[[dict[str, str]], None]


def test_report_of_this_machine_is_usable_and_survives_json() -> None:
    report = doctor.examine()
    assert report.usable
    assert report.schema_version == SCHEMA_VERSION
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_every_problem_says_how_to_mend_it() -> None:
    report = doctor.examine()
    findings: list[Finding | PackageFinding] = [*report.python, *report.conflicts, *report.limits]
    findings += report.packages
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
