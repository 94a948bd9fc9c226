"""Outliers are seen where they drown the channels beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

from edgekit.quantize.measuring.outlying import sqnr_of_8_bits  # noqa: E402 - only where onnx is installed

Save = Callable[..., Path]


@pytest.mark.parametrize("opset", [13, 20])
def test_ratio_is_that_of_the_middle_channel_to_the_rounding(save: Save, opset: int) -> None:
    x = np.random.default_rng(0).standard_normal((3, 5, 9)).astype(np.float32)
    x[..., 4] *= 50
    model = save("(float[a,b,9] x) => (float[a,b,9] y) { h = Relu(x) y = Neg(h) }", opset=opset)
    found = sqnr_of_8_bits(
        model, [{"x": x}, {"x": x[:1]}], channels={"x": 9, "h": 9}, scratch=model.parent, wall_s=60
    )
    for name, values in (("x", x), ("h", np.maximum(x, 0))):
        halves = values.astype(np.float64), values[:1].astype(np.float64)
        energy = sum((half**2).mean(axis=(0, 1)) for half in halves)
        noise = sum((max(v.max(), 0) - min(v.min(), 0)) ** 2 / 255**2 / 12 for v in halves)
        assert found[name] == pytest.approx(10 * np.log10(np.median(energy) / noise), abs=1e-3)
    assert [file.name for file in model.parent.glob("*.onnx")] == ["model.onnx"]


def test_nothing_and_nothing_but_zeros_have_no_outliers(save: Save) -> None:
    model = save(
        "(float[n,4] x) => (float[m,4] y) { h = Slice(x, none, none) y = Neg(h) }",
        weights={"none": np.zeros(1, np.int64)},
    )
    feeds: list[dict[str, Any]] = [{"x": np.zeros((2, 4), np.float32)}]
    found = sqnr_of_8_bits(model, feeds, channels={"x": 4, "h": 4}, scratch=model.parent, wall_s=60)
    assert found == {"x": np.inf, "h": np.inf}
