"""`edgekit slim`, and "tuned" as a variant's name in the other commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.package import reading

Here = Callable[..., int]
Captured = pytest.CaptureFixture[str]
Document = Callable[[str, str], Any]
Choose = Callable[..., Path]


def test_slim_writes_what_goes_to_the_device(
    with_fast: Path, choose: Choose, here: Here, capsys: Captured, document: Document
) -> None:
    choose(with_fast)
    assert here("slim", with_fast, "-o", "device.edgekit") == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("device.edgekit  tiny · fast · ")
    assert "calibration" not in shown.out
    assert "Left out: fp32" in shown.out
    assert "Goes along: what was chosen on a small one" in shown.out
    assert here("slim", with_fast, "-o", "device.edgekit") == 2
    assert "Add --overwrite" in capsys.readouterr().err
    arguments = ("--variant", "fast", "--with-portable", "--cases", "1", "--keep-evaluation")
    assert here("slim", with_fast, "-o", "device.edgekit", *arguments, "--overwrite", "--json") == 0
    done = document("slim", capsys.readouterr().out).slimmed
    assert done.variants == ("fp32", "fast")
    (graph,) = reading.read(with_fast.parent / "device.edgekit").graphs
    assert graph.reference is not None
    assert (graph.reference.cases, graph.evaluation is not None) == (1, True)
    assert here("check", "device.edgekit") == 0


def test_slim_without_a_choice_says_what_to_type(
    with_fast: Path, here: Here, capsys: Captured
) -> None:
    assert here("slim", with_fast, "-o", "device.edgekit") == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"Run 'edgekit tune {with_fast}'" in shown.err
    assert here("slim", with_fast, "-o", with_fast, "--variant", "fp32", "--overwrite") == 2
    assert "expected a folder outside of" in capsys.readouterr().err


def test_check_takes_what_was_tuned(
    with_fast: Path, choose: Choose, here: Here, capsys: Captured, document: Document
) -> None:
    assert here("check", with_fast, "--variant", "tuned") == 1
    assert "it was never tuned" in capsys.readouterr().err
    choose(with_fast, threads=1)
    assert here("check", with_fast, "--variant", "tuned", "--json") == 0
    found = document("check", capsys.readouterr().out)
    assert [report.variant for report in found.checks] == ["fast"]
    assert "fast: tuned for this machine (×1.43 of float" in found.note
    assert here("check", with_fast, "--json") == 0
    found = document("check", capsys.readouterr().out)
    assert [report.variant for report in found.checks] == ["fp32", "fast"]
    assert here("check", with_fast, "--variant", "tuned", "--provider", "qnn") == 1
    assert "nothing was chosen for qnn" in capsys.readouterr().err


def test_compare_runs_what_was_tuned_as_it_was_chosen(
    with_fast: Path, choose: Choose, here: Here, capsys: Captured, document: Document
) -> None:
    choose(with_fast, threads=1, idle="sleep")
    assert here("compare", with_fast, f"{with_fast}:tuned", "--json") == 0
    found = document("compare", capsys.readouterr().out).compared
    assert (found.a, found.b) == ("tiny · fp32", "tiny · fast, as tuned")
    assert (found.b_facts.threads, found.b_facts.idle) == (1, "sleep")
    assert found.a_facts.idle == "brief"


def test_bench_times_what_was_tuned_as_it_was_chosen(
    with_fast: Path, choose: Choose, here: Here, capsys: Captured, document: Document
) -> None:
    choose(with_fast, threads=1, idle="sleep")
    quick = ("--starts", "2", "--rounds", "1", "--json")
    chosen = ("--variant", "portable", "--variant", "tuned", "--idle", "brief")
    assert here("bench", with_fast, *chosen, *quick) == 0
    bench = document("bench", capsys.readouterr().out).bench
    assert bench.threads == 1
    ran = {m.label: (m.facts.threads, m.facts.idle) for m in bench.measurements}
    assert (len(ran), set(ran.values())) == (2, {(1, "brief")})
    assert any(note.startswith("fast: tuned for this machine") for note in bench.notes)
    other = with_fast.parent / "fp32.onnx"
    other.write_bytes((with_fast / "fp32.onnx").read_bytes())
    assert here("bench", with_fast, other, *chosen) == 2
    assert "each package has a choice of its own" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["quantize", "sensitivity"])
def test_commands_that_make_variants_want_the_name_itself(
    command: str, with_fast: Path, choose: Choose, here: Here, capsys: Captured
) -> None:
    choose(with_fast)
    scheme = ("--scheme", "int8-dynamic")
    assert here(command, with_fast, *scheme, "--variant", "tuned") == 2
    assert "'tuned' is no name: call what was chosen by its own" in capsys.readouterr().err
