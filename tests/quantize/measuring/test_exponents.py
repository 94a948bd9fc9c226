"""How far outliers move, worked out from activations and weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.random import default_rng

from edgekit.quantize.elements import read_typed
from edgekit.quantize.measuring.exponents import EXPONENTS, exponent_of, weights_behind
from edgekit.quantize.measuring.smoothing import smoothable

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")


def draw(*shape: int, seed: int = 0) -> Any:
    return default_rng(seed).standard_normal(shape).astype(np.float32)


def measured_error(x: Any, w: Any, exponent: float) -> float:
    """Round a product both ways as int8 does, after smoothing, and compare."""
    scale = np.ones(x.shape[1])
    if exponent:
        scale = np.abs(x).max(0) ** exponent / np.abs(w).max(1) ** (1 - exponent)
    x, w = x / scale, w * scale[:, None]
    step = (x.max() - x.min()) / 255
    steps = np.abs(w).max(0) / 127
    rounded = (np.rint(x / step) * step) @ (np.rint(w / steps) * steps)
    return float(((rounded - x @ w) ** 2).mean())


@pytest.mark.parametrize("size", [20, 50, 200])
def test_the_choice_is_among_the_quietest(size: float) -> None:
    x, w = draw(200, 64), draw(64, 32, seed=1)
    x[:, [3, 40]] *= size
    chosen = exponent_of(np.abs(x).max(0), [w])
    errors = {exponent: measured_error(x, w, exponent) for exponent in EXPONENTS}
    assert chosen > 0
    assert errors[chosen] < 0.5 * errors[0.0]
    assert errors[chosen] < 2 * min(errors.values())


def test_nothing_moves_without_outliers() -> None:
    assert exponent_of(np.abs(draw(100, 64)).max(0), [draw(64, 32, seed=1)]) == 0


def test_dead_channels_do_no_harm() -> None:
    maxima, weight = np.zeros(8, np.float32), draw(8, 4)
    assert exponent_of(maxima, [weight]) == 0
    maxima[:] = 1
    weight[2] = 0
    assert exponent_of(maxima, [weight]) == 0


def test_weights_are_found_channels_first(save: Callable[..., Path]) -> None:
    text = """(float[n,6] x) => (float[n,4] y, float[n,5] z) {
        y = MatMul(x, w) z = Gemm<transB=1>(x, u) }"""
    model = read_typed(save(text, weights={"w": draw(6, 4), "u": draw(5, 6)}))
    found = weights_behind(model, smoothable(model))
    assert [weight.shape for weight in found["x"]] == [(6, 4), (6, 5)]
