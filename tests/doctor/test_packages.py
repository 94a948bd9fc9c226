from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit import doctor
from edgekit.doctor.packages import NEEDS
from edgekit.doctor.report import PackageFinding

Installed = Callable[[dict[str, str]], None]
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def rows() -> dict[str, PackageFinding]:
    return {row.distribution: row for row in doctor.examine().packages}


def test_needs_are_those_of_pyproject() -> None:
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    asked = {("", text) for text in project["dependencies"]}
    for extra, texts in project["optional-dependencies"].items():
        asked |= {(extra, text) for text in texts}
    declared = set()
    wanted = r"(?P<name>[\w-]+)(\[.*?\])?>=(?P<floor>[\d.]+)(,<(?P<below>[\d.]+))?"
    for extra, text in asked:
        if match := re.match(wanted, text):
            declared.add((match["name"], match["floor"], extra, match["below"] or ""))
    known = {(need.distribution, need.floor, need.extra, need.below) for need in NEEDS}
    assert known <= declared
    assert {name for name, *_ in declared} == {need.distribution for need in NEEDS}


@pytest.mark.parametrize(
    ("version", "severity"),
    [
        ("2.13.0+cpu", "ok"),
        ("2.14.1", "ok"),
        ("3.0", "ok"),
        ("2.13.0rc1", "ok"),
        ("2.9.1", "problem"),
        ("1.13", "problem"),
    ],
)
def test_versions_are_compared_as_numbers(
    version: str, severity: str, installed: Installed
) -> None:
    installed({"torch": version})
    row = rows()["torch"]
    assert (row.version, row.severity) == (version, severity)
    if severity == "problem":
        assert "older than 2.13" in row.says
        assert row.mend == "Run: pip install --upgrade 'edgekit-onnx[export]' 'torch>=2.13'"


@pytest.mark.parametrize(
    ("version", "severity"),
    [("10.16.1.11", "ok"), ("10.9", "problem"), ("11.0", "problem"), ("11.2.1", "problem")],
)
def test_a_tensorrt_that_onnxruntime_does_not_link_is_a_problem(
    version: str, severity: str, installed: Installed
) -> None:
    installed({"onnxruntime-gpu": "1.31.1", "tensorrt-cu13-libs": version})
    row = rows()["tensorrt-cu13-libs"]
    assert row.severity == severity
    if version.startswith("11"):
        assert row.says == f"tensorrt-cu13-libs {version} is too new: 11 and later do not fit."
        assert row.mend == "Run: pip install 'tensorrt-cu13-libs>=10.16,<11'"


def test_what_only_an_extra_needs_is_a_note(installed: Installed) -> None:
    installed({"onnxruntime": "1.32.0"})
    row = rows()["onnx"]
    assert (row.version, row.severity, row.extra) == (None, "note", "build")
    assert row.mend == "Run: pip install 'edgekit-onnx[build]'"


def test_what_edgekit_always_needs_is_a_problem(installed: Installed) -> None:
    installed({"onnxruntime": "1.32.0"})
    row = rows()["msgspec"]
    assert (row.version, row.severity, row.extra) == (None, "problem", "")


@pytest.mark.parametrize(
    ("there", "missing"),
    [("onnxruntime", "onnxruntime-gpu"), ("onnxruntime-gpu", "onnxruntime")],
)
def test_one_onnxruntime_takes_the_others_place(
    there: str, missing: str, installed: Installed
) -> None:
    installed({there: "1.31.1"})
    found = rows()
    assert found[there].severity == "ok"
    assert found[missing].severity == "note"
    assert there in found[missing].says
    assert not found[missing].mend
