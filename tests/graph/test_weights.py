"""Weights are counted by who reads them, and through what only brings them into form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the graph is built with onnx")

from edgekit.graph.weights import weights_by_operator  # noqa: E402


def test_each_operator_counts_what_it_reads_once(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 20]> g (float[n,8] x, int64[n] i) => (float[n,8] z) {'
        "half = Constant <value = float {0.5}> ()"
        "turned = Transpose <perm = [1, 0]> (table)"
        "row = Gather(table, i) s = MatMul(x, square) t = MatMul(s, square)"
        "h = MatMul(row, turned) k = Mul(t, half) b = Add(k, bias) "
        "r = Relu(b) z = Gemm(r, square) }"
    )
    for name, shape in (("table", (30, 8)), ("square", (8, 8)), ("bias", (8,))):
        array = np.zeros(shape, np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.save(model, tmp_path / "m.onnx")
    assert weights_by_operator(tmp_path / "m.onnx") == {
        "Add": 8,
        "Gather": 240,
        "Gemm": 64,
        "MatMul": 64 + 240,
        "Mul": 1,
    }
