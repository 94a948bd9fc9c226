"""What rounding does to a node's own answer, held against numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

from edgekit.package.values import QuantRules  # noqa: E402
from edgekit.quantize.searching.local_noise import (  # noqa: E402
    Rounding,
    local_noise,
    rounded_weight,
    rounding_of,
)

GENERATOR = np.random.default_rng(3)
X = [GENERATOR.standard_normal((5, 8)).astype(np.float32) for _ in range(3)]
W = GENERATOR.standard_normal((8, 6)).astype(np.float32)
MATMUL = "(float[n,8] x) => (float[n,6] y) { [product] p = MatMul(x, W) [last] y = Relu(p) }"


def measured(model: Path, rounding: Rounding, tmp_path: Path, nodes: Any = ("product",)) -> Any:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = local_noise(model, [{"x": x} for x in X], nodes, rounding=rounding, scratch=scratch)
    assert list(scratch.iterdir()) == []
    return found


def uint8(x: Any) -> Any:
    low, high = min(x.min(), 0), max(x.max(), 0)
    scale = (high - low) / 255
    zero = np.clip(np.rint(-low / scale), 0, 255)
    return (np.clip(np.rint(x / scale) + zero, 0, 255) - zero) * scale


def int8(x: Any) -> Any:
    scale = np.abs(x).max() / 127
    return np.rint(x / scale) * scale


ROUNDED: dict[str | None, Any] = {
    "uint8": uint8,
    "int8": int8,
    "float16": lambda x: x.astype(np.float16).astype(np.float32),
    None: lambda x: x,
}


@pytest.mark.parametrize("kind", ["uint8", "int8", "float16", None])
@pytest.mark.parametrize("bits", [8, 7, 4])
def test_the_noise_is_that_of_rounded_inputs_and_weights(
    kind: Any, bits: int, save: Any, tmp_path: Path
) -> None:
    model = save(MATMUL, weights={"W": W})
    found = measured(model, Rounding(kind, bits), tmp_path)
    top = 2 ** (bits - 1) - 1
    scale = np.abs(W).max(axis=0) / top
    weight = np.rint(W / scale) * scale
    noise = sum(np.square(ROUNDED[kind](x) @ weight - x @ W).sum() for x in X)
    signal = sum(np.square(x @ W).sum() for x in X)
    assert found == {"product": pytest.approx(noise / signal, rel=0.02)}


def test_halves_round_weights_as_they_round_activations(save: Any, tmp_path: Path) -> None:
    model = save(MATMUL, weights={"W": W})
    found = measured(model, Rounding("float16"), tmp_path)
    half = ROUNDED["float16"]
    noise = sum(np.square(half(x) @ half(W) - x @ W).sum() for x in X)
    signal = sum(np.square(x @ W).sum() for x in X)
    assert found["product"] == pytest.approx(noise / signal, rel=0.05)


OPERATORS = {
    "Conv": (
        "(float[n,8] x) => (float[n,4,4] y) { s = Constant<value_ints=[-1,2,4]>() "
        "r = Reshape(x, s) [product] y = Conv(r, W) }",
        {"W": GENERATOR.standard_normal((4, 2, 1)).astype(np.float32)},
    ),
    "Gemm": (
        "(float[n,8] x) => (float[n,6] y) { [product] y = Gemm<transB=1>(x, W, b) }",
        {"W": W.T.copy(), "b": np.ones(6, np.float32)},
    ),
    "LSTM": (
        "(float[n,8] x) => (float[n,1,1,3] y) { a = Constant<value_ints=[1]>() "
        "r = Unsqueeze(x, a) [product] y, h = LSTM<hidden_size=3>(r, W, R) }",
        {
            "W": GENERATOR.standard_normal((1, 12, 8)).astype(np.float32),
            "R": GENERATOR.standard_normal((1, 12, 3)).astype(np.float32),
        },
    ),
    "Gather": (
        "(float[n,8] x) => (float[n,8,6] y) { i = Cast<to=7>(x) [product] y = Gather(W, i) }",
        {"W": W},
    ),
    "Add": ("(float[n,8] x) => (float[n,8] y) { [product] y = Add(x, x) }", {}),
    "LayerNormalization": (
        "(float[n,8] x) => (float[n,8] y) { [product] y = LayerNormalization(x, s) }",
        {"s": np.ones(8, np.float32)},
    ),
}


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("scheme", ["int8-static", "int8-dynamic", "fp16", "bf16"])
def test_every_kind_of_node_has_a_twin(
    operator: str, scheme: Any, save: Any, tmp_path: Path
) -> None:
    text, weights = OPERATORS[operator]
    model = save(text, weights=weights)
    noise = measured(model, rounding_of(scheme, QuantRules()), tmp_path)["product"]
    assert 0 < noise < 0.05


def test_a_node_with_outliers_stands_out(save: Any, tmp_path: Path) -> None:
    text = (
        "(float[n,8] x) => (float[n,6] y) { [calm] a = MatMul(x, W) f = Mul(x, s) "
        "[wild] b = MatMul(f, W) y = Add(a, b) }"
    )
    far = np.array([1, 1, 1, 1000, 1, 1, 1, 1], np.float32)
    flat = W.copy()
    flat[3] = 0
    model = save(text, weights={"W": flat, "s": far})
    found = measured(model, Rounding("uint8", 8), tmp_path, ("calm", "wild"))
    assert found["wild"] > 1000 * found["calm"]


def test_what_can_have_no_twin_has_no_estimate(save: Any, tmp_path: Path) -> None:
    old = save("(float[n,8] x) => (float[n,8] y) { [product] y = Relu(x) }", opset=12, name="old")
    assert measured(old, Rounding("uint8", 8), tmp_path) == {}


def test_blocks_of_weights_have_scales_of_their_own() -> None:
    array = np.ones((64, 3), np.float32)
    array[40] = 100.0
    whole = rounded_weight(array, -1, bits=4)
    blocks = rounded_weight(array, -1, bits=4, block=32)
    assert np.abs(whole[:32] - 1).max() == 1.0
    assert np.allclose(blocks[:32], 1.0)
    assert np.abs(blocks[32:40] - 1).max() == 1.0


@settings(deadline=None, max_examples=50)
@given(
    st.integers(1, 70), st.integers(1, 5), st.sampled_from([None, 0, 1]), st.sampled_from([0, 16])
)
def test_rounded_weights_lie_within_half_a_step(
    rows: int, columns: int, axis: int | None, block: int
) -> None:
    array = np.random.default_rng(rows).standard_normal((rows, columns)).astype(np.float32)
    found = rounded_weight(array, axis, bits=8, block=block)
    assert found.shape == array.shape
    assert np.abs(found - array).max() <= np.abs(array).max() / 127 / 2 * 1.001
