"""`edgekit bench`, on tiny packages whose original isn't here: the shape of what it says."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgekit import providers
from edgekit.measure.results import BenchReport
from edgekit.package import cases, commit, reading
from edgekit.tensors import Case

ABACUS = """
import dataclasses
from edgekit.providers import cpu, options

PROVIDER = dataclasses.replace(
    cpu.PROVIDER, name="abacus", device="cpu",
    options={"enable_cuda_graph": options.flag("record a call and replay it")},
)
"""
"""A provider whose memory of its own is the processor's: all that a GPU's goes through, here."""

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
    said = capsys.readouterr()
    assert "The gate" not in said.err
    assert "computes in" not in said.out  # fp32 in fp32 says nothing


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


@pytest.fixture
def abacus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Add a provider with a memory of its own, in this process and in every worker."""
    folder = tmp_path / "abacus"
    folder.mkdir()
    (folder / "abacus.py").write_text(ABACUS)
    (folder / "sitecustomize.py").write_text(
        f"from edgekit import providers\nproviders.__path__.append({str(folder)!r})\n"
    )
    path = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    monkeypatch.setattr(providers, "__path__", [*providers.__path__, str(folder)])
    # Another test may have had a provider of that name.
    sys.modules.pop("edgekit.providers.abacus", None)
    yield "abacus"
    sys.modules.pop("edgekit.providers.abacus", None)


def test_a_provider_with_a_memory_of_its_own_is_timed_from_both_apart(
    abacus: str, tiny_package: Path, here: Here, capsys: Captured, document: Document
) -> None:
    assert here("bench", tiny_package, *QUICK, "--provider", abacus, "--json") == 0
    host, device = document("bench", capsys.readouterr().out)
    assert (host.bench.arrays, device.bench.arrays) == ("host", "device")
    for report in (host, device):
        (measured,) = report.bench.measurements
        assert measured.label == "fp32 · abacus"
        assert measured.facts.arrays == report.bench.arrays
        assert measured.facts.copies == 0  # counted in a profile
        assert report.rows[0].accuracy is not None


def test_copies_are_counted_before_anything_is_timed(
    abacus: str, tiny_package: Path, here: Here, capsys: Captured, document: Document
) -> None:
    assert here("inspect", tiny_package, "--provider", abacus, "--json") == 0
    inspected = document("inspect", capsys.readouterr().out)
    assert [one.facts.copies for one in inspected.placements.variants] == [0]


def test_each_table_says_what_its_times_are_of(
    abacus: str, tiny_package: Path, here: Here, capsys: Captured
) -> None:
    assert here("bench", tiny_package, *QUICK, "--provider", abacus) == 0
    said = capsys.readouterr().out
    heads = [line for line in said.splitlines() if line.startswith("tiny · ")]
    assert "inputs and outputs in the host's memory, copies timed" in heads[0]
    assert "inputs and outputs on the device, no copies timed" in heads[1]
    assert len(heads) == 2
    assert said.count("0 copies between memories") == 2


def test_one_memory_is_timed_where_it_is_asked_for(
    abacus: str, tiny_package: Path, here: Here, capsys: Captured, document: Document
) -> None:
    gate = ("--fail-if", "p50_ms>0.000001")
    asked = ("--provider", abacus, "--arrays", "device", *gate)
    assert here("bench", tiny_package, *QUICK, *asked, "--json") == 3
    said = capsys.readouterr()
    assert document("bench", said.out).bench.arrays == "device"
    assert "fp32 · abacus (arrays on the device): p50_ms is " in said.err


def test_recorded_calls_are_timed_like_any(
    abacus: str, tiny_package: Path, here: Here, capsys: Captured, document: Document
) -> None:
    recorded = ("--provider", abacus, "--provider-option", "enable_cuda_graph=1")
    assert here("bench", tiny_package, *QUICK, *recorded, "--json") == 0
    for report in document("bench", capsys.readouterr().out):
        assert report.rows[0].accuracy.value == 1.0
        assert report.rows[0].mismatch == ""


def test_a_provider_without_a_memory_of_its_own_has_no_arrays_there(
    tiny_package: Path, here: Here, capsys: Captured
) -> None:
    assert here("bench", tiny_package, *QUICK, "--arrays", "device") == 2
    assert "'device' on the provider 'cpu'" in capsys.readouterr().err
    assert here("bench", tiny_package, *QUICK, "--arrays", "host") == 0
    assert "copies timed" not in capsys.readouterr().out


def test_a_variant_that_a_provider_must_not_be_given_is_no_reason_to_stop(
    abacus: str,
    tmp_path: Path,
    tiny_package: Path,
    here: Here,
    capsys: Captured,
    document: Document,
) -> None:
    packed = reading.read(tiny_package)
    (fp32,) = packed.variants
    facts = msgspec.structs.replace(fp32.facts, operators={"QLinearConv": 1})
    int8 = msgspec.structs.replace(
        fp32, name="int8", model="int8.onnx", precision="int8", facts=facts, parent="fp32"
    )
    both = msgspec.structs.replace(packed, variants=(fp32, int8))
    # Other bytes: two variants of one content would share a file.
    content = (tiny_package / "fp32.onnx").read_bytes() + b"\x32\x00"
    commit.commit(tiny_package, both, {"int8.onnx": content})
    text = (tmp_path / "abacus" / "abacus.py").read_text()
    refusing = 'refuses=lambda facts: "no beads" if "QLinearConv" in facts.operators else "",'
    (tmp_path / "abacus" / "abacus.py").write_text(
        text.replace('name="abacus",', f'name="abacus", {refusing}')
    )
    assert here("bench", tiny_package, *QUICK, "--provider", abacus, "--arrays", "host") == 0
    assert "int8 · abacus is left out: no beads" in capsys.readouterr().out
    assert here("inspect", tiny_package, "--provider", abacus, "--json") == 0
    kept, refused = document("inspect", capsys.readouterr().out).placements.variants
    assert (kept.variant, kept.reason) == ("fp32", "")
    assert kept.facts.provider == abacus
    assert (refused.variant, refused.facts, refused.reason) == ("int8", None, "no beads")
    assert here("inspect", tiny_package, "--provider", abacus) == 0
    assert "int8 isn't run on abacus: no beads" in capsys.readouterr().out


def test_a_row_is_held_against_a_bench_from_before(
    tiny_package: Path, here: Here, capsys: Captured, tmp_path: Path, document: Document
) -> None:
    two = tmp_path / "two.edgekit"
    shutil.copytree(tiny_package, two)
    both = (tiny_package, two, *QUICK)
    assert here("bench", *both, "--json") == 0
    old = tmp_path / "old.json"
    old.write_text(capsys.readouterr().out, encoding="utf-8")
    options = ("--baseline", old, "--fail-if", "regression>1000", "--csv", "now.csv", "--markdown")
    assert here("bench", *both, *options) == 0
    said = capsys.readouterr()
    assert "| slower than before [95 %] |" in said.out
    rows = list(csv.DictReader((tmp_path / "now.csv").read_text(encoding="utf-8").splitlines()))
    assert float(rows[1]["regression_low"]) <= float(rows[1]["regression"])
    assert here("bench", *both, "--baseline", old, "--json", "--fail-if", "regression>0.001") == 3
    said = capsys.readouterr()
    assert said.err.count("the high end of its interval") == 1
    found = document("bench", said.out)
    assert [row.regression is None for row in found.rows] == [True, False]


def test_another_bench_than_the_one_before_is_refused(
    tiny_package: Path, here: Here, capsys: Captured, tmp_path: Path
) -> None:
    assert here("bench", tiny_package, *QUICK, "--json") == 0
    text = capsys.readouterr().out
    old = tmp_path / "old.json"
    old.write_text(text, encoding="utf-8")
    assert here("bench", tiny_package, *QUICK, "--batch", "4", "--baseline", old) == 2
    assert "sizes batch 1 and now batch 4" in capsys.readouterr().err
    made = json.loads(text)
    made["bench"]["machine"]["cores"] += 1
    old.write_text(json.dumps(made), encoding="utf-8")
    assert here("bench", tiny_package, *QUICK, "--baseline", old) == 2
    said = capsys.readouterr().err
    assert "a bench of this kind of machine" in said
    assert "timing" not in said  # it isn't timed first


def test_figures_go_to_stdout_in_one_form(tiny_package: Path, here: Here, capsys: Captured) -> None:
    assert here("bench", tiny_package, *QUICK, "--csv", "-") == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.startswith("name,machine,batch,sizes,threads,arrays,baseline,label,")
    assert row.startswith("tiny,")
    for options in (("--csv", "-", "--json"), ("--markdown", "--json")):
        assert here("bench", tiny_package, *QUICK, *options) == 2
        assert "expected one of them" in capsys.readouterr().err
    assert here("bench", tiny_package, *QUICK, "--fail-if", "regression>1") == 2
    assert "--baseline FILE.json as well" in capsys.readouterr().err
