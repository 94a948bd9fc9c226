"""What `export`, `check` and `inspect` print."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgekit.measure.inspection import MeasuredRow, inspect
from edgekit.metrics import UNBOUNDED
from edgekit.package import reading
from edgekit.package.values import Verification
from edgekit.report.terminal import checked, exported, inspected
from edgekit.runtime.checks import CheckReport, CheckRow

TextOf = Callable[..., str]


def test_an_export_says_how_close_it_came(tiny_package: Path, text_of: TextOf) -> None:
    package = reading.read(tiny_package)
    held = Verification(({"batch": 1}, {"batch": 8}), 2, "|a - b| <= [rule]")
    package = msgspec.structs.replace(
        package,
        provenance=msgspec.structs.replace(
            package.provenance, verification=held, notes=("[bold]careful[/]",)
        ),
    )
    text = text_of(exported, "tiny.edgekit", package)
    head, inputs, outputs, verified, titles, row, rule, kept, note = text.splitlines()
    assert head.startswith("tiny.edgekit  tiny · fp32 · opset 20 · 15 parameters · ")
    assert inputs == "  in   x: float32 [batch, 4]  (batch:1..8)"
    assert outputs == "  out  y: float32 [batch, 3]"
    assert verified == (
        "Verified at 2 size combinations (batch 1, 8), the example's values and 2 draws of values "
        "each:"
    )
    assert re.split("  +", titles) == [
        "output",
        "max abs error",
        "max rel error",
        "cosine",
        "SQNR dB",
    ]
    assert row.split() == ["y", "1.0e-06", "1.0e-06", "1.000000000", "120.0"]
    assert rule == "Held to: |a - b| <= [rule]"
    assert kept == "In the package: 4 reference cases, 20 held-out cases"
    assert note == "Note: [bold]careful[/]"


def test_an_export_that_verified_nothing_says_nothing_of_it(
    tiny_package: Path, text_of: TextOf
) -> None:
    assert "Verified" not in text_of(exported, "tiny.edgekit", reading.read(tiny_package))


def test_a_check_shows_which_answer_is_off(text_of: TextOf) -> None:
    rows = (
        CheckRow(0, {"batch": 2}, "y", 1e-6, 1.0, 1e-5, "passed"),
        CheckRow(1, {}, "[b]", UNBOUNDED, 0.0, 1e-5, "failed", "1 of 3 elements off"),
    )
    text = text_of(checked, CheckReport("tiny", "fp32", "cpu", "an x86-64", rows))
    lines = text.splitlines()
    assert lines[0] == "tiny · fp32 · cpu · an x86-64"
    assert lines[2].split() == ["0", "batch", "2", "y", "1.0e-06", "1.0e-05", "1.0000000", "passed"]
    assert lines[3].split() == ["1", "fixed", "[b]", "unbounded", "1.0e-05", "0.0000000", "failed"]
    assert lines[4] == "Case 1, [b]: 1 of 3 elements off."
    assert lines[5].startswith("Off on this machine: 1 of 2 answers lie further")


def test_an_inspection_groups_what_was_measured_by_machine(
    tiny_package: Path, text_of: TextOf
) -> None:
    found = msgspec.structs.replace(
        inspect(tiny_package),
        measured=(
            MeasuredRow("epyc", "PyTorch eager", 0.6, None, 0.985, {"batch": 1}, 2),
            MeasuredRow("epyc", "fp32 · cpu", 0.12, 5.0, 0.985, {"batch": 1}, 2),
            MeasuredRow("xeon", "fp32 · cpu", 0.05, None, None, {"batch": 4}, 1),
        ),
    )
    text = text_of(inspected, found)
    epyc, xeon = (text.partition(f"Measured on {name}:\n")[2] for name in ("epyc", "xeon"))
    assert epyc.splitlines()[1].split() == [
        *("PyTorch", "eager", "batch", "1", "2", "0.600", "baseline", "98.5", "%")
    ]
    assert epyc.splitlines()[2].split()[-3:] == ["×5.00", "98.5", "%"]
    assert xeon.splitlines()[1].split() == [
        *("fp32", "·", "cpu", "batch", "4", "1", "0.0500", "baseline", "–")
    ]
    assert "Nothing was measured" not in text


@pytest.mark.parametrize("width", [60, 80])
def test_an_inspection_keeps_to_the_width(width: int, tiny_package: Path, text_of: TextOf) -> None:
    found = msgspec.structs.replace(inspect(tiny_package), path="tiny.edgekit")
    assert max(map(len, text_of(inspected, found, width=width).splitlines())) <= width
