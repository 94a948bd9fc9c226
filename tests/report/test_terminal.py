"""What `export` and `check` print."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from edgekit.metrics import UNBOUNDED
from edgekit.package import reading
from edgekit.package.values import Package, Verification
from edgekit.report.terminal import checked, exported
from edgekit.runtime.checks import CheckReport, CheckRow
from edgekit.tensors import BY_SHAPE
from edgekit.terms import Strategy, members

TextOf = Callable[..., str]


def test_an_export_says_how_close_it_came(tiny_package: Path, text_of: TextOf) -> None:
    package = reading.read(tiny_package)
    held = Verification(({"batch": 1}, {"batch": 8}), 2, "|a - b| <= [rule]")
    package = msgspec.structs.replace(
        package,
        provenance=msgspec.structs.replace(
            package.provenance, verification=held, notes=("[bold]careful[/]", "slow")
        ),
    )
    text = text_of(exported, "tiny.edgekit", package)
    head, inputs, outputs, how, verified, titles, row, rule, kept, *notes = text.splitlines()
    assert head.startswith("tiny.edgekit  tiny · fp32 · opset 20 · 15 parameters · ")
    assert inputs == "  in   x: float32 [batch, 4]  (batch:1..8)"
    assert outputs == "  out  y: float32 [batch, 3]"
    assert how == "Strategy: dynamo (torch's dynamo exporter)"
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
    assert notes == ["Note: [bold]careful[/]", "Note: slow"]


def test_an_export_that_verified_nothing_says_nothing_of_it(
    tiny_package: Path, text_of: TextOf
) -> None:
    assert "Verified" not in text_of(exported, "tiny.edgekit", reading.read(tiny_package))


def test_a_check_shows_which_answer_is_off(text_of: TextOf) -> None:
    rows = (
        CheckRow(0, {"batch": 2}, "y", 1e-6, 1.0, 1e-5, "passed"),
        CheckRow(1, {}, "[b]", UNBOUNDED, 0.0, 1e-5, "failed", "1 of 3 elements off"),
    )
    text = text_of(checked, [CheckReport("tiny", "fp32", "cpu", "an x86-64", rows)])
    lines = text.splitlines()
    assert lines[0] == "tiny · fp32 · cpu · an x86-64"
    assert lines[2].split() == ["0", "batch", "2", "y", "1.0e-06", "1.0e-05", "1.0000000", "passed"]
    assert lines[3].split() == ["1", "fixed", "[b]", "unbounded", "1.0e-05", "0.0000000", "failed"]
    assert lines[4] == "Case 1, [b]: 1 of 3 elements off."
    assert lines[5].startswith("Off on this machine: 1 of 2 answers lie further")


def test_a_check_says_where_the_figures_come_from(text_of: TextOf) -> None:
    rows = (CheckRow(0, {}, "y", 1e-6, 1.0, 1e-5, "passed"),)
    report = CheckReport("tiny", "int8", "cpu", "an x86-64", rows, note="measured elsewhere")
    assert text_of(checked, [report]).splitlines()[-2:] == [
        "Note: measured elsewhere",
        "Right on this machine: 1 of 1 passed.",
    ]


def test_a_check_says_that_a_random_output_has_no_distance(text_of: TextOf) -> None:
    noise = CheckRow(0, {}, "noise", None, None, None, "passed", note=BY_SHAPE)
    reports = [CheckReport("net", name, "cpu", "an x86-64", (noise,)) for name in ("a", "b")]
    lines = text_of(checked, reports).splitlines()
    assert lines[2] == lines[7]
    assert lines[2].split(maxsplit=6) == [
        *("0", "fixed", "noise", "–", "–", "–", "passed (random, compared by shape)")
    ]
    assert lines[4:6] == ["", "net · b · cpu · an x86-64"]


def test_an_export_of_two_graphs_shows_both(two_graphs: Path, text_of: TextOf) -> None:
    package = verified(reading.read(two_graphs))
    text = text_of(exported, "tiny.edgekit", package)
    assert "(the whole package " in text
    assert "Graph model:\n  in   x: float32 [batch, 4]" in text
    assert "Graph model-uint8:\n  in   x: uint8 [batch, 4]" in text
    assert re.search(r"^fp32/y +1\.0e-06", text, re.MULTILINE)
    assert re.search(r"^fp32-uint8/y +1\.0e-06", text, re.MULTILINE)
    assert "Cases of model: 4 reference cases, 20 held-out cases\n" in text
    assert "Cases of model-uint8: 2 reference pictures, 10 held-out pictures\n" in text


def test_an_export_says_that_a_random_output_has_no_distance(
    noisy_package: Callable[..., Path], text_of: TextOf
) -> None:
    text = text_of(exported, "noisy.edgekit", verified(reading.read(noisy_package())))
    assert "out  noise: float32 [batch, 4]  (random, compared by shape)\n" in text
    rows = [line.split(maxsplit=5) for line in text.splitlines()]
    assert ["y", "0", "0", "1.000000000", "exact"] in rows
    assert ["noise", "–", "–", "–", "–", "random, compared by shape"] in rows


def test_an_export_says_which_strategy_it_took(tiny_package: Path, text_of: TextOf) -> None:
    package = reading.read(tiny_package)
    for strategy in members(Strategy):
        provenance = msgspec.structs.replace(package.provenance, strategy=strategy)
        traced = msgspec.structs.replace(package, provenance=provenance)
        assert f"Strategy: {strategy} (" in text_of(exported, "tiny.edgekit", traced)
    adopted = msgspec.structs.replace(provenance, strategy="adopted", original="onnx")
    text = text_of(exported, "tiny.edgekit", msgspec.structs.replace(package, provenance=adopted))
    assert "Strategy" not in text
    assert "Original: the .onnx file itself" in text


def verified(package: Package) -> Package:
    held = Verification(({"batch": 1},), 2, "a rule")
    provenance = msgspec.structs.replace(package.provenance, verification=held)
    return msgspec.structs.replace(package, provenance=provenance)
