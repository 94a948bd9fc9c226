"""`edgekit report`: the page, what a pull request is told, the card, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit import machine as machines
from edgekit.measure.keeping import keep
from edgekit.measure.results import BenchReport
from edgekit.report.documents import ReportDocument
from edgekit.report.evidence import gather

Here = Callable[..., int]
Captured = pytest.CaptureFixture[str]
Document = Callable[[str, str], Any]
QUICK = ("--starts", "2", "--rounds", "1", "--threads", "1")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))


_MEASURED: list[BenchReport] = []


@pytest.fixture
def benched(tiny_package: Path, here: Here, capsys: Captured) -> Path:
    """Give a package with a bench beside it; every test's has the same files, so one will do."""
    if not _MEASURED:
        assert here("bench", tiny_package, *QUICK) == 0
        capsys.readouterr()
        _MEASURED.extend(gather(tiny_package).benches)
    for report in _MEASURED:
        keep(tiny_package, report)
    return tiny_package


def test_a_bench_becomes_a_page(
    benched: Path, here: Here, capsys: Captured, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="the page has plots")
    assert here("report", benched) == 0
    said = capsys.readouterr()
    assert said.out.startswith("tiny.report.html  ")
    text = (tmp_path / "tiny.report.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert here("report", benched, "-o", "again.html") == 0
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == text


def test_json_has_the_raw_samples(
    benched: Path, here: Here, capsys: Captured, document: Document
) -> None:
    assert here("report", benched, "--json") == 0
    found = document("report", capsys.readouterr().out)
    assert isinstance(found, ReportDocument)
    assert found.known.package.name == "tiny"
    (report,) = found.known.benches
    assert report.bench.measurements[0].starts[0].rounds


def test_text_goes_to_stdout_or_into_a_file(
    benched: Path, here: Here, capsys: Captured, tmp_path: Path
) -> None:
    for option, begins in (("--markdown", "## tiny on "), ("--card", "---\nlibrary_name: onnx\n")):
        assert here("report", benched, option) == 0
        text = capsys.readouterr().out
        assert text.startswith(begins)
        assert here("report", benched, option, "-o", "out.md") == 0
        assert capsys.readouterr().out == ""
        assert (tmp_path / "out.md").read_text(encoding="utf-8") == text


def test_text_needs_no_matplotlib(benched: Path, edgekit: Any, tmp_path: Path) -> None:
    shim = tmp_path / "shim"
    shim.mkdir()
    for module in ("matplotlib", "jinja2", "markupsafe"):
        (shim / f"{module}.py").write_text(
            f"raise ModuleNotFoundError(\"No module named '{module}'\", name='{module}')\n"
        )
    without = {"PYTHONPATH": str(shim)}
    for option in ("--markdown", "--card", "--json"):
        assert edgekit("report", benched, option, env=without).returncode == 0
    done = edgekit("report", benched, env=without)
    assert done.returncode == 1
    assert "pip install 'edgekit-onnx[report]'" in done.stderr


def test_nothing_measured_says_what_to_run(
    tiny_package: Path, here: Here, capsys: Captured
) -> None:
    for option in ("--markdown", "--json", "-oout.html"):
        assert here("report", tiny_package, option) == 1
        assert "Run 'edgekit bench " in capsys.readouterr().err
    assert here("report", tiny_package, "--card") == 0
    assert "Unknown: nothing was measured." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--card", "--markdown"), "a report cannot be --markdown and --card"),
        (("--card", "--machine", "x"), "a card has all"),
        (("--machine", "x"), "There is no machine 'x' that this package was measured on"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    options: tuple[str, ...], said: str, benched: Path, here: Here, capsys: Captured
) -> None:
    assert here("report", benched, *options) == 2
    assert said in capsys.readouterr().err


def test_this_machine_may_be_named(benched: Path, here: Here, capsys: Captured) -> None:
    key = machines.speed_key(machines.describe())
    assert here("report", benched, "--machine", key, "--json") == 0
    assert json.loads(capsys.readouterr().out)["known"]["speed_key"] == key


@pytest.mark.skipif(sys.platform == "win32", reason="/dev/full is Linux's")
def test_a_file_that_cannot_be_written_is_a_sentence(
    benched: Path, here: Here, capsys: Captured
) -> None:
    assert here("report", benched, "--markdown", "-o", "no/such/folder.md") == 1
    assert "no/such/folder.md could not be written" in capsys.readouterr().err
    assert here("report", benched, "--markdown", "-o", "/dev/full") == 1
    assert "the disk is full" in capsys.readouterr().err
