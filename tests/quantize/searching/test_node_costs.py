"""What nodes take in float and quantized, by real profiles; no test rests on how long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="graphs are built with onnx")

from edgekit.measure.ways import How
from edgekit.quantize.elements import read_typed
from edgekit.quantize.searching.node_costs import NodeCosts, node_costs

W = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
FLOAT = (
    "(float[n,2,64] x) => (float[n,2,64] y) { [first] a = MatMul(x, W) [bias] b = Add(a, c) "
    "[act] d = Abs(b) e = MatMul(d, W) [last] y = Sigmoid(e) }"
)
INTEGER = (
    "(float[n,2,64] x) => (float[n,2,64] y) { "
    "[first_DynamicQuantizeLinear] q, s, z = DynamicQuantizeLinear(x) "
    "[first_MatMulInteger] i = MatMulInteger(q, V, z) [first_Cast] f = Cast<to=1>(i) "
    "[first] a = Mul(f, s) [act] d = Abs(a) e = MatMul(d, W) [last] y = Sigmoid(e) }"
)


def test_each_node_has_its_time_and_what_was_fused_into_it(save: Any, tmp_path: Path) -> None:
    parent = save(FLOAT, weights={"W": W, "c": np.ones(64, np.float32)})
    quantized = save(INTEGER, weights={"W": W, "V": (W * 20).astype(np.int8)}, name="quantized")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    costs = node_costs(
        parent,
        quantized,
        model=read_typed(parent),
        nodes=["first", "MatMul:e"],
        feed={"x": np.ones((8, 2, 64), np.float32)},
        scratch=scratch,
        how=How(),
        wall_s=60,
    )
    assert set(costs.in_float) >= {"first", "act", "MatMul:e", "last"}
    assert "bias" not in costs.in_float  # it is in the time of `first`, whose kernel has it
    assert {"first", "act", "MatMul:e"} <= set(costs.in_quantized)
    assert costs.float_us >= sum(costs.in_float.values()) > 0
    assert costs.quantized_us >= sum(costs.in_quantized.values()) > 0
    assert costs.cost_us("first") is not None
    assert costs.cost_us("bias") is None


def test_costs_are_differences_and_unknown_where_one_side_is() -> None:
    costs = NodeCosts(10.0, 6.0, {"a": 5.0, "b": 2.0}, {"a": 1.5, "c": 1.0})
    assert costs.cost_us("a") == 3.5
    assert (costs.cost_us("b"), costs.cost_us("c")) == (None, None)
