"""`edgekit bench`, on tiny packages whose original isn't here: the shape of what it says."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.measure.results import BenchReport
from edgekit.package import cases, commit, reading
from edgekit.tensors import Case

Here = Callable[..., int]
Captured = pytest.CaptureFixture[str]
Document = Callable[[str, str], Any]
QUICK = ("--starts", "2", "--rounds", "1", "--threads", "1")
UNKNOWN = "where the original came from is not known here"


def test_an_original_that_is_not_known_is_left_out(
    tiny_package: Path, here: Here, capsys: Captured
) -> None:
    assert here("bench", tiny_package, *QUICK, "--against", "eager,compiled") == 0
    said = capsys.readouterr()
    head, titles, fp32, *rest = said.out.splitlines()
    assert head.startswith("tiny · ")
    assert " · 1 thread · batch 1 · 20 held-out cases" in head
    assert titles.split("  ")[-1].strip() == "peak memory"
    assert fp32.startswith("fp32 · cpu ")
    assert "baseline" in fp32
    assert rest[0].split() == ["PyTorch", "eager", "left", "out"]
    assert rest[1].split() == ["PyTorch", "compiled", "left", "out"]
    assert f"PyTorch eager is left out: {UNKNOWN}" in said.out
    assert (
        "Speedup is against fp32 · cpu (the float variant, held to the recorded answers because"
        in said.out
    )
    assert said.err.splitlines()[0] == f"timing {tiny_package}"


def test_without_torch_the_original_is_left_out_with_the_extra_to_install(
    tiny_package: Path,
    tmp_path: Path,
    edgekit: Any,
    without_torch: dict[str, str],
    document: Document,
) -> None:
    (tmp_path / "net.py").write_text("def make():\n    raise RuntimeError\n")
    done = edgekit(
        "bench", tiny_package, *QUICK, "--original", "net.py:make", "--json", env=without_torch
    )
    assert done.returncode == 0, done.stderr
    report = document("bench", done.stdout)
    assert [left.label for left in report.bench.left_out] == ["PyTorch eager"]
    assert "pip install 'edgekit-onnx[export]'" in report.bench.left_out[0].reason
    assert [row.label for row in report.rows] == ["fp32 · cpu"]


def test_several_batches_give_a_list(
    tiny_package: Path, here: Here, capsys: Captured, document: Document
) -> None:
    assert here("bench", tiny_package, *QUICK, "--batch", "1", "--batch", "4", "--json") == 0
    reports = document("bench", capsys.readouterr().out)
    assert [report.bench.sizes for report in reports] == [{"batch": 1}, {"batch": 4}]
    assert here("inspect", tiny_package) == 0
    shown = capsys.readouterr().out
    assert "batch 1 " in shown
    assert "batch 4 " in shown


def test_a_batch_outside_the_range_is_refused(
    tiny_package: Path, here: Here, capsys: Captured
) -> None:
    assert here("bench", tiny_package, *QUICK, "--batch", "9") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "batch" in said.err
    assert "8" in said.err


def test_a_gate_that_says_no_exits_with_three(
    tiny_package: Path, here: Here, capsys: Captured
) -> None:
    gates = ("--fail-if", "p50_ms>0.000001", "--fail-if", "size_mb>5", "--fail-if", "accuracy<0.99")
    assert here("bench", tiny_package, *QUICK, *gates) == 3
    said = capsys.readouterr()
    assert "fp32 · cpu" in said.out
    last = said.err.splitlines()[-1]
    assert last.startswith("The gate said no: fp32 · cpu: p50_ms is ")
    assert "'p50_ms>0.000001'" in last
    assert "'accuracy<0.99'" in last  # 20 of 20 right: the interval begins far below
    assert "size_mb" not in last


def test_gates_that_are_kept_exit_with_zero(
    tiny_package: Path, here: Here, capsys: Captured
) -> None:
    assert here("bench", tiny_package, *QUICK, "--fail-if", "accuracy<0.5") == 0
    assert "The gate" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--fail-if", "p50>5"), "Did you mean 'p50_ms'?"),
        (("--fail-if", "fast"), "a gate cannot be 'fast'"),
        (("--against", "compilde"), "Did you mean 'compiled'?"),
        (("--original", "n.py:make", "-p", "width"), "-p cannot be 'width': expected NAME=VALUE"),
        (("--starts", "1"), "'--starts': 1 is not in the range"),
    ],
)
def test_bad_usage_is_refused_before_anything_runs(
    options: tuple[str, ...], said: str, tiny_package: Path, here: Here, capsys: Captured
) -> None:
    assert here("bench", tiny_package, *options) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err


def test_several_packages_and_a_plain_file_stand_in_one_table(
    tiny_package: Path, tiny_onnx: Any, here: Here, capsys: Captured, document: Document
) -> None:
    other = tiny_package.with_name("other.edgekit")
    shutil.copytree(tiny_package, other)
    plain = tiny_onnx("plain")
    assert here("bench", tiny_package.name, other.name, plain.name, *QUICK, "--json") == 0
    report = document("bench", capsys.readouterr().out)
    labels = [row.label for row in report.rows]
    assert labels == ["tiny.edgekit/fp32 · cpu", "other.edgekit/fp32 · cpu", "plain.onnx · cpu"]
    assert isinstance(report, BenchReport)
    assert not any(row.mismatch for row in report.rows)


def test_speedups_are_ratios_of_the_samples_of_that_run(
    tiny_package: Path, tiny_onnx: Any, here: Here, capsys: Captured, document: Document
) -> None:
    from edgekit.measure import statistics

    assert here("bench", tiny_package, tiny_onnx("plain"), *QUICK, "--json") == 0
    report = document("bench", capsys.readouterr().out)
    baseline, other = (
        [start.rounds for start in measured.starts] for measured in report.bench.measurements
    )
    assert report.rows[0].speedup is None
    assert report.rows[1].speedup == statistics.speedup(baseline, other)


def test_a_plain_file_is_benched_and_says_what_is_not_known(
    tiny_onnx: Any, here: Here, capsys: Captured
) -> None:
    path = tiny_onnx()
    assert here("bench", path.name, *QUICK) == 0
    out = capsys.readouterr().out
    assert "a plain .onnx has no original" in out
    assert "made-up values" in out


@pytest.mark.parametrize(
    "option",
    [
        ("--original", "net.py:make"),
        ("-p", "width=3"),
        ("--task", "features"),
        ("--pretrained",),
        ("--weights", "w.safetensors"),
    ],
)
def test_an_original_for_a_plain_file_is_refused(
    option: tuple[str, ...], tiny_onnx: Any, here: Here, capsys: Captured
) -> None:
    assert here("bench", tiny_onnx(), *QUICK, *option) == 2
    assert f"done with {option[0]}" in capsys.readouterr().err


def test_a_batch_that_is_refused_costs_no_bench_of_another(
    tiny_package: Path, here: Here, capsys: Captured
) -> None:
    assert here("bench", tiny_package, *QUICK, "--batch", "1", "--batch", "9") == 2
    assert "the dimension batch cannot be 9" in capsys.readouterr().err
    assert not (tiny_package / "measured").exists()


def test_a_model_with_other_answers_than_recorded_is_no_success_without_its_original(
    tiny_package: Path, here: Here, capsys: Captured
) -> None:
    packed = reading.read(tiny_package)
    assert packed.graphs[0].reference is not None
    kept = [
        Case(case.feed, {"y": case.outputs["y"] + 1})
        for case in cases.open_cases(tiny_package, packed, packed.graphs[0].reference).open()
        if case.outputs is not None
    ]
    commit.commit(tiny_package, packed, {packed.graphs[0].reference.file: cases.encode(kept)})
    assert here("bench", tiny_package, *QUICK) == 1
    said = capsys.readouterr()
    assert "fp32 · cpu answers otherwise" in said.out
    assert "gave other outputs than those that the package recorded: y: " in said.err
