"""What `inspect` prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgekit.measure.inspection import MeasuredRow, inspect
from edgekit.package import commit, reading
from edgekit.package.values import Asset
from edgekit.report.inspection import inspected

TextOf = Callable[..., str]


def test_an_inspection_names_every_graph_with_its_inputs_and_cases(
    two_graphs: Path, text_of: TextOf
) -> None:
    lines = text_of(inspected, inspect(two_graphs)).splitlines()
    assert lines[1:7] == [
        "Graph model:",
        "  in   x: float32 [batch, 4]  (batch:1..8)",
        "  out  y: float32 [batch, 3]",
        "Graph model-uint8:",
        "  in   x: uint8 [batch, 4]  (batch:1..4)",
        "  out  y: float32 [batch, 3]",
    ]
    assert lines[7].split()[:3] == ["variant", "graph", "precision"]
    assert lines[9].split()[:3] == ["fp32-uint8", "model-uint8", "fp32"]
    assert "Cases of model: 4 reference cases, 20 held-out cases" in lines
    assert "Cases of model-uint8: 2 reference pictures, 10 held-out pictures" in lines


def test_an_inspection_marks_a_random_output(
    noisy_package: Callable[..., Path], text_of: TextOf
) -> None:
    text = text_of(inspected, inspect(noisy_package()))
    assert "out  y: float32 [batch, 4]\n" in text
    assert "out  noise: float32 [batch, 4]  (random, compared by shape)\n" in text


def test_an_inspection_lists_assets_and_where_the_weights_are_from(
    tiny_package: Path, text_of: TextOf
) -> None:
    assert "Assets" not in text_of(inspected, inspect(tiny_package))
    package = reading.read(tiny_package)
    provenance = msgspec.structs.replace(
        package.provenance, task="sequence-classification", pretrained=True
    )
    assets = (
        Asset("labels", "labels", "labels.txt"),
        Asset("tokenizer.json", "tokenizer", "tokenizer.json"),
        Asset("vocab.txt", "tokenizer", "vocab.00000000.txt"),
    )
    package = msgspec.structs.replace(package, provenance=provenance, assets=assets)
    commit.commit(tiny_package, package, {asset.file: b"x" for asset in assets})
    text = text_of(inspected, inspect(tiny_package))
    assert (
        "Assets: labels.txt (labels), tokenizer.json (tokenizer), "
        "vocab.00000000.txt (tokenizer, as vocab.txt)\n"
    ) in text
    assert "From tiny.py:make (dynamo; sequence-classification; pretrained); the orig" in text


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
