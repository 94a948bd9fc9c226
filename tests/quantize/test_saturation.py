"""The proof that no pair of products leaves 16 bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import ModelFileError
from edgekit.package.values import Target
from edgekit.quantize.saturation import LARGEST_PAIR, refuse_saturating, saturating
from edgekit.quantize.weights import as_int8

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

Save = Callable[..., Path]

VNNI = Target(arch="x86_64", isa=("avx512_vnni",))
PORTABLE = Target(arch="x86_64")

GRAPHS = {
    "MatMul": """(float[n,4] x) => (float[n,2] y) {
        q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z)
        f = DequantizeLinear(w, s) y = MatMul(d, f) }""",
    "Transposed": """(float[n,4] x) => (float[n,4] y) {
        f = DequantizeLinear(v, s) t = Transpose(f) y = MatMul(x, t) }""",
    "MatMulInteger": "(uint8[n,4] x) => (int32[n,2] y) { y = MatMulInteger(x, w) }",
    "DynamicQuantizeMatMul": """(float[n,4] x) => (float[n,2] y) {
        y = com.microsoft.DynamicQuantizeMatMul(x, w, s) }""",
    "QLinearMatMul": """(uint8[n,4] x) => (uint8[n,2] y) {
        y = QLinearMatMul(x, s, z, w, s, i, s, z) }""",
}


def weights(**integers: list[int]) -> dict[str, Any]:
    found = {name: np.array(values, np.int8).reshape(4, 2) for name, values in integers.items()}
    return {
        **found,
        "v": found["w"].T.copy(),
        "s": np.float32(0.1),
        "z": np.uint8(0),
        "i": np.int8(0),
    }


@pytest.mark.parametrize("kind", GRAPHS)
def test_a_pair_that_leaves_16_bits_is_found_in_every_form(kind: str, save: Save) -> None:
    right = save(GRAPHS[kind], weights=weights(w=[64, -64, 1, 0, 63, -3, 64, 5]))
    wrong = save(GRAPHS[kind], weights=weights(w=[64, -65, 1, 0, 63, -3, 2, 5]), name="wrong")
    assert saturating(onnx.load(right)) == {}
    assert list(saturating(onnx.load(wrong)).values()) == [129]
    refuse_saturating(right, PORTABLE)
    refuse_saturating(wrong, VNNI)
    with pytest.raises(ModelFileError, match="129 together"):
        refuse_saturating(wrong, PORTABLE)


def test_weights_in_branches_and_beside_the_file_are_looked_at(save: Save, tmp_path: Path) -> None:
    text = """(uint8[n,4] x, bool c) => (int32[n,2] y) {
        y = If(c) <
            then_branch = t () => (int32[n,2] a) { a = MatMulInteger(x, w) },
            else_branch = e () => (int32[n,2] b) { b = MatMulInteger(x, w) }
        > }"""
    model = onnx.load(save(text, weights=weights(w=[127] * 8)))
    # What a branch takes from outside stands in the outer graph.
    inner = model.graph.node[0].attribute[0].g
    inner.initializer.append(onnx.numpy_helper.from_array(np.full((4, 2), 127, np.int8), "w"))
    path = tmp_path / "outside.onnx"
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    with pytest.raises(ModelFileError, match="254 together"):
        refuse_saturating(path, PORTABLE)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 9))
@settings(max_examples=50, deadline=None)
def test_no_pair_of_7_bit_weights_leaves_16_bits(seed: int, rows: int, columns: int) -> None:
    array = np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)
    integers, _ = as_int8(array, axis=1, bits=7)
    sizes = np.abs(integers.astype(int))
    assert 255 * (sizes.max() + sizes.max()) <= 32767
    assert 2 * sizes.max() <= LARGEST_PAIR
