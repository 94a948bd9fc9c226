"""A bias goes into the product of integers in front of it, and the answers stay what they were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.random import default_rng

pytest.importorskip("onnx", reason="graphs are built with onnx")

import onnx

from edgekit.quantize.qdq.added_biases import OPERATOR, take_in_biases

Arrays = dict[str, Any]

WEIGHTS = {
    "s": np.float32(0.02),
    "z": np.uint8(128),
    "w": default_rng(0).integers(-127, 128, (8, 6)).astype(np.int8),
    "ws": default_rng(1).uniform(0.001, 0.01, 6).astype(np.float32),
    "wz": np.zeros(6, np.int8),
    "b": default_rng(2).standard_normal(6).astype(np.float32),
    "scalar": np.float32(3),
    "wide": default_rng(3).standard_normal((4, 6)).astype(np.float32),
}
FEED = {"x": default_rng(4).standard_normal((2, 4, 8)).astype(np.float32)}
PRODUCT = """q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z)
    v = DequantizeLinear<axis=1>(w, ws, wz) m = MatMul(d, v)"""
TEXT = "(float[2,4,8] x) => (float[2,4,6] y) {{ {} {} }}"


@pytest.mark.parametrize("add", ["y = Add(m, b)", "y = Add(b, m)", "a = Add(m, b) y = Relu(a)"])
def test_a_product_and_its_bias_become_one_node(
    add: str, save: Callable[..., Path], run: Callable[[Path, Arrays], Arrays], tmp_path: Path
) -> None:
    path = save(TEXT.format(PRODUCT, add), weights=WEIGHTS)
    model = onnx.load(path)
    assert take_in_biases(model) == 1
    output = tmp_path / "taken.onnx"
    onnx.checker.check_model(model)
    onnx.save(model, output)
    kinds = Counter(node.op_type for node in model.graph.node)
    assert kinds == Counter(
        {"QuantizeLinear": 1, OPERATOR: 1, "Relu": 1}
        if "Relu" in add
        else {"QuantizeLinear": 1, OPERATOR: 1}
    )
    before, after = run(path, FEED)["y"], run(output, FEED)["y"]
    np.testing.assert_allclose(after, before, atol=1e-5)
    assert np.abs(before).max() > 0.1


def test_another_reader_of_the_integers_still_gets_them_back(
    save: Callable[..., Path], run: Callable[[Path, Arrays], Arrays], tmp_path: Path
) -> None:
    path = save(
        "(float[2,4,8] x) => (float[2,4,6] y, float[2,4,8] e) "
        f"{{ {PRODUCT} y = Add(m, b) e = Neg(d) }}",
        weights=WEIGHTS,
    )
    model = onnx.load(path)
    assert take_in_biases(model) == 1
    output = tmp_path / "taken.onnx"
    onnx.save(model, output)
    before, after = run(path, FEED), run(output, FEED)
    for name in before:
        np.testing.assert_allclose(after[name], before[name], atol=1e-5)


@pytest.mark.parametrize(
    "body",
    [
        f"{PRODUCT} y = Add(m, scalar)",
        f"{PRODUCT} y = Add(m, wide)",
        f"{PRODUCT} a = Add(m, b) c = Neg(m) y = Add(a, c)",
        f"{PRODUCT} y = Mul(m, b)",
        "v = DequantizeLinear<axis=1>(w, ws, wz) m = MatMul(x, v) y = Add(m, b)",
    ],
    ids=["a scalar", "a bias of more than a row", "the product is read twice", "no Add", "a float"],
)
def test_what_is_no_bias_of_one_product_stays(body: str, save: Callable[..., Path]) -> None:
    model = onnx.load(save(TEXT.format(body, ""), weights=WEIGHTS))
    before = model.SerializeToString()
    assert take_in_biases(model) == 0
    assert model.SerializeToString() == before
