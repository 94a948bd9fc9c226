"""The run of public architectures: what it takes up again, where it runs, and what it prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks import coverage
from benchmarks.coverage_table import markdown
from benchmarks.coverage_values import Conditions, Entry, Judged, Result
from benchmarks.paired import RESULTS

PROJECT = Path(__file__).parents[2]
CONDITIONS = Conditions({"torch": "2.14.1"}, ["avx2"])
RIGHT = Judged("right", 12.4, "dynamo", 46.8, 2e-6, 1.5, [{"batch": 3}])


def test_markdown_counts_both_ways_and_says_why() -> None:
    refused = Judged("refused", 3.0, problem="its code asks for a_size | and more")
    wrong = Judged("wrong", 9.0, problem="logits at batch=3 is off by 1")
    told = msgspec.structs.replace(RIGHT, strategy="strict", notes=["time was not tried"])
    entries = {
        "timm:a": Entry(edgekit=RIGHT, bare=RIGHT),
        "timm:b": Entry(edgekit=refused, bare=wrong),
        "hf:c": Entry(edgekit=told, bare=Judged("out of time", 600.0)),
    }
    text = markdown(Result(CONDITIONS, entries))
    assert "export_target`: 2 right, 0 wrong, 1 refused." in text
    assert "`torch.onnx.export` alone: 1 right, 1 wrong, 1 out of time." in text
    assert "| a | dynamo | 12 | 2.0e-06 | 1.5 | 46.8 | right, 12 s |" in text
    assert "| b | **refused** | 3 | – | – | – | **wrong**, 9 s |" in text
    assert "| c | strict |" in text
    assert "- `timm:b`, edgekit, refused: its code asks for a\\_size \\| and more" in text
    assert "- `timm:b`, alone, wrong: logits at batch=3 is off by 1" in text
    assert "- `hf:c`, edgekit: time was not tried" in text


def test_document_holds_what_the_results_say() -> None:
    kept = coverage.read(RESULTS / "coverage.json")
    document = (PROJECT / "docs" / "coverage.md").read_text(encoding="utf-8")
    assert markdown(kept) in document, "python -m benchmarks.coverage --markdown prints what is new"


def test_run_goes_on_under_the_same_versions_alone(tmp_path: Path) -> None:
    path = tmp_path / "coverage.json"
    assert coverage.done_before(CONDITIONS, path) == {}
    entries = {"timm:a": Entry(edgekit=RIGHT, bare=RIGHT)}
    path.write_bytes(msgspec.json.encode(Result(CONDITIONS, entries)))
    assert coverage.done_before(CONDITIONS, path) == entries
    newer = msgspec.structs.replace(CONDITIONS, versions={"torch": "2.15.0"})
    assert coverage.done_before(newer, path) == {}
    path.write_text('{"conditions":')
    assert coverage.done_before(CONDITIONS, path) == {}


def test_run_does_again_what_died() -> None:
    died = Judged("died", problem="exit code 1")
    assert coverage.finished(Entry(edgekit=RIGHT, bare=RIGHT))
    assert not coverage.finished(Entry(edgekit=died, bare=RIGHT))
    assert not coverage.finished(Entry(edgekit=RIGHT, bare=died))
    assert not coverage.finished(None)


def test_pins_are_those_of_the_zoo() -> None:
    pins = coverage.pins((PROJECT / "constraints-zoo.txt").read_text(encoding="utf-8"))
    assert set(coverage.DECIDING) <= set(pins)


def test_run_says_which_environment_it_needs() -> None:
    if not (differs := coverage.what_differs()):
        pytest.skip("this is the environment that it needs")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.coverage", "--only", "timm:resnet18"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "make zoo" in done.stderr
    assert differs in " ".join(done.stderr.split())
