"""What is left in float32 so that a budget is kept, and what becomes of the package if none is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekit.budgets import Budget
from edgekit.errors import BadValue, GateFailed
from edgekit.measure.adopt import adopt
from edgekit.package import reading
from edgekit.quantize import quantize

pytest.importorskip("onnx", reason="graphs are built with onnx")

Save = Callable[..., Path]


@pytest.fixture
def outlying(save: Save, tmp_path: Path) -> Path:
    """A package of which one node is ruined by 8-bit activations, and the other is not.

    What goes into the first MatMul reaches 1000 in a channel that counts for nothing, and 0.01 in
    those that count.
    """
    draw = np.random.default_rng(0)
    large = np.full(32, 0.01, np.float32)
    large[0] = 1000
    first = draw.normal(size=(32, 32)).astype(np.float32) * 100
    first[0] = 0
    model = save(
        "(float[n,32] x) => (float[n,32] y) "
        "{ s = Mul(x, large) h = MatMul(s, w) r = Relu(h) y = MatMul(r, v) }",
        weights={"large": large, "w": first, "v": draw.normal(size=(32, 32)).astype(np.float32)},
    )
    path = tmp_path / "outlying.edgekit"
    adopt(model, path)
    return path


def test_only_the_node_that_is_ruined_stays_in_float(outlying: Path) -> None:
    done = quantize(outlying, scheme="int8-dynamic", budgets=[Budget("cosine", 0.99)])
    assert done.variant.recipe is not None
    assert done.variant.recipe.keep_float == ("MatMul:h",)
    assert done.nodes == 1
    assert 1 < done.looks <= 25
    (verdict,) = done.verdicts
    assert verdict.ruling == "passed"
    assert any("1 of 2 nodes stays in float32" in note for note in done.notes)
    assert done.closeness["y"].cosine > 0.99


def test_without_a_budget_a_warning_says_what_is_lost(outlying: Path) -> None:
    done = quantize(outlying, scheme="int8-dynamic")
    assert (done.nodes, done.looks, done.verdicts) == (2, 0, ())
    (warning,) = (text for text in done.warnings if "cosine" in text)
    assert "--min-cosine" in warning


def test_a_budget_that_nothing_keeps_leaves_the_package_as_it_was(outlying: Path) -> None:
    before = (outlying / "manifest.json").read_bytes()
    with pytest.raises(GateFailed, match="float model"):
        quantize(outlying, scheme="int8-dynamic", budgets=[Budget("cosine", 1.0)])
    assert (outlying / "manifest.json").read_bytes() == before
    assert [variant.name for variant in reading.read(outlying).variants] == ["fp32"]


def test_without_repair_a_missed_budget_is_an_error(outlying: Path) -> None:
    with pytest.raises(GateFailed):
        quantize(outlying, scheme="int8-dynamic", budgets=[Budget("cosine", 0.99)], repair=False)
    assert [variant.name for variant in reading.read(outlying).variants] == ["fp32"]


def test_a_budget_that_can_not_be_had_is_refused(outlying: Path) -> None:
    with pytest.raises(BadValue, match="cosine"):
        quantize(outlying, scheme="int8-dynamic", budgets=[Budget("drop", 0.005)])


def test_a_node_that_was_asked_for_stays_in_float_as_well(outlying: Path) -> None:
    done = quantize(
        outlying,
        scheme="int8-dynamic",
        keep_float=["MatMul:h"],
        budgets=[Budget("cosine", 0.99)],
    )
    assert done.kept["MatMul:h"] == "asked for"
    assert (done.nodes, done.looks) == (1, 1)
