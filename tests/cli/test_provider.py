"""`--provider` and what goes with it, on `bench`, `check` and `inspect`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit import providers
from edgekit.measure.packages import candidates, open_subject
from edgekit.measure.plan import Candidate
from edgekit.measure.results import BenchReport
from edgekit.measure.ways import How
from edgekit.package.values import SessionChoice
from edgekit.providers import choosing

Here = Callable[..., int]
Captured = pytest.CaptureFixture[str]
Document = Callable[[str, str], Any]
QUICK = ("--starts", "2", "--rounds", "1", "--threads", "1")


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """Write a model of which OpenVINO leaves one operator, Det, to the CPU."""
    onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")
    text = '<ir_version: 10, opset_import: ["": 20]> g (float[n,4,4] x) => (float[n] y)'
    path = tmp_path / "split.onnx"
    onnx.save(onnx.parser.parse_model(f"{text} {{ r = Relu(x) d = Det(r) y = Abs(d) }}"), path)
    return path


@pytest.mark.parametrize("command", ["bench", "check", "inspect"])
@pytest.mark.parametrize("name", ["cuda", "tensorrt", "tensorrt-rtx"])
def test_a_provider_that_cannot_be_used_is_one_sentence_with_its_cause(
    command: str, name: str, tiny_package: Path, here: Here, capsys: Captured
) -> None:
    found = providers.find(name).diagnose()
    if found.usable:
        pytest.skip(f"{name} can be used here")
    assert here(command, tiny_package, "--provider", name) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = [line for line in said.err.splitlines() if line.startswith("Error")]
    assert found.cause in line
    assert line.endswith(found.mend)


@pytest.mark.parametrize("command", ["bench", "check", "inspect"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--provider", "cudda"), "Did you mean 'cuda'?"),
        (("--provider", "cuda", "--provider-option", "use_tf=1"), "Did you mean 'use_tf32'?"),
        (("--provider", "cuda", "--provider-option", "use_tf32=yes"), "expected 0 or 1"),
        (("--provider", "cuda", "--provider-option", "use_tf32"), "NAME=VALUE"),
        (
            ("--provider", "cuda", "--provider-option", "gpu_mem_limit=0"),
            "expected a whole number from 1 to",
        ),
        (("--provider", "cpu", "--provider-library", "lib.so"), "part of onnxruntime"),
        (("--provider", "best", "--provider-option", "a=b"), "by its name"),
        (("--provider-library", "lib.so"), "part of onnxruntime"),
        (("--provider-option", "a=b"), "There is no option of the provider cpu 'a'"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_starts(
    command: str,
    options: tuple[str, ...],
    said: str,
    tiny_package: Path,
    here: Here,
    capsys: Captured,
) -> None:
    assert here(command, tiny_package, *options) == 2
    assert said in capsys.readouterr().err


def test_bench_says_which_provider_is_the_best_and_why_no_other(
    tiny_package: Path, here: Here, capsys: Captured, document: Document
) -> None:
    assert here("bench", tiny_package, *QUICK, "--provider", "best", "--json") == 0
    report: BenchReport = document("bench", capsys.readouterr().out)
    chosen = choosing.best()
    assert report.rows[-1].provider == chosen.provider
    assert chosen.reason in report.bench.notes


def test_check_says_which_provider_is_the_best_too(
    tiny_package: Path, here: Here, capsys: Captured, document: Document
) -> None:
    assert here("check", tiny_package, "--provider", "best") == 0
    assert f"Note: {choosing.best().reason}" in " ".join(capsys.readouterr().out.split())
    assert here("check", tiny_package, "--provider", "best", "--json") == 0
    assert document("check", capsys.readouterr().out).note == choosing.best().reason


def test_a_library_may_lie_at_home(
    tiny_package: Path, here: Here, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tiny_package))
    asked = ("--provider", "frog", "--provider-library", "~/frog.so")
    assert here("inspect", tiny_package, *asked) == 1
    assert f"there is no file {tiny_package / 'frog.so'}" in capsys.readouterr().err


def test_a_row_is_named_after_the_precision_that_was_asked_for(
    tiny_package: Path, openvino_library: Path
) -> None:
    def candidate(**options: str) -> Candidate:
        session = SessionChoice(provider="openvino", provider_options=options)
        how = How(session, library=str(openvino_library))
        ((one,), _) = candidates([open_subject(tiny_package)], how)
        return one

    plain, short = candidate(), candidate(INFERENCE_PRECISION_HINT="bf16")
    assert plain.label == "fp32 · openvino"
    assert short.label == "fp32 · openvino, bf16"
    # What was asked for may round as it does; what wasn't is held to what the variant keeps.
    assert plain.tolerance
    assert not short.tolerance


def test_bench_tells_placement_and_precision(
    tiny_package: Path, openvino_library: Path, here: Here, capsys: Captured, document: Document
) -> None:
    asked = ("--provider", "openvino", "--provider-library", openvino_library)
    assert here("bench", tiny_package, *QUICK, *asked, "--json") == 0
    report: BenchReport = document("bench", capsys.readouterr().out)
    (facts,) = [m.facts for m in report.bench.measurements]
    assert facts.placement is not None
    assert list(facts.placement) == ["openvino"]
    assert (facts.computes, facts.copies) == ("fp32", 0)
    assert here("bench", tiny_package, *QUICK, *asked) == 0
    assert "runs on openvino in fp32: all " in capsys.readouterr().out


def test_inspect_shows_which_nodes_run_where(
    split: Path, openvino_library: Path, here: Here, capsys: Captured, document: Document
) -> None:
    asked = ("--provider", "openvino", "--provider-library", openvino_library)
    assert here("inspect", split, *asked) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "runs on openvino in " in shown
    assert "2 nodes; 1 on cpu (1 Det)" in shown
    assert here("inspect", split, *asked, "--json") == 0
    placements = document("inspect", capsys.readouterr().out).placements
    (variant,) = placements.variants
    assert variant.facts.placement == {"openvino": {"Abs": 1, "Relu": 1}, "cpu": {"Det": 1}}


@pytest.mark.parametrize("command", ["inspect", "bench"])
def test_strict_ends_with_3_where_nodes_run_elsewhere(
    command: str, split: Path, openvino_library: Path, here: Here, capsys: Captured
) -> None:
    asked = ("--provider", "openvino", "--provider-library", openvino_library, "--strict")
    assert here(command, split, *asked) == 3
    assert "(cpu: 1 Det). Leave out --strict" in capsys.readouterr().err


def test_check_runs_on_a_plug_in_by_its_own_name_with_its_own_options(
    tiny_package: Path, openvino_library: Path, here: Here, capsys: Captured
) -> None:
    asked = ("--provider", "OpenVINOExecutionProvider", "--provider-library", openvino_library)
    # Nobody here knows its options: left alone it takes bfloat16 where the processor has that.
    option = 'load_config={"CPU": {"INFERENCE_PRECISION_HINT": "f32"}}'
    assert here("check", tiny_package, *asked, "--strict", "--provider-option", option) == 0
    assert "OpenVINOExecutionProvider" in capsys.readouterr().out
