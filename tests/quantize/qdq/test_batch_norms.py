"""Batch norms in the weights in front of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.random import default_rng

from edgekit.quantize.elements import read_typed
from edgekit.quantize.qdq.batch_norms import fold_batch_norms

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

Save = Callable[..., Path]
Run = Callable[[Path, dict[str, Any]], dict[str, Any]]

NORM = {"g": [1.5, -0.5], "h": [0.1, 2.0], "m": [0.3, -1.0], "v": [0.5, 2.0]}


def weights(*, bias: bool) -> dict[str, Any]:
    draws = default_rng(0).standard_normal
    found = {name: np.array(values, np.float32) for name, values in NORM.items()}
    found["w"] = draws((2, 3, 3, 3)).astype(np.float32)
    return {**found, "b": draws(2).astype(np.float32)} if bias else found


@pytest.mark.parametrize("bias", [False, True])
def test_a_norm_behind_a_convolution_goes_into_its_weights(
    bias: bool, save: Save, run: Run, tmp_path: Path
) -> None:
    text = f"""(float[n,3,6,6] x) => (float[n,2,4,4] y) {{
        a = Conv(x, w{", b" if bias else ""}) c = BatchNormalization<epsilon=0.01>(a, g, h, m, v)
        y = Relu(c) }}"""
    path = save(text, weights=weights(bias=bias))
    model = read_typed(path)
    assert fold_batch_norms(model) == 1
    assert [node.op_type for node in model.graph.node] == ["Conv", "Relu"]
    assert len(model.graph.initializer) == 2
    onnx.checker.check_model(model)
    onnx.save(model, tmp_path / "folded.onnx")
    feed = {"x": default_rng(1).standard_normal((2, 3, 6, 6)).astype(np.float32)}
    folded, exact = (run(p, feed)["y"] for p in (tmp_path / "folded.onnx", path))
    np.testing.assert_allclose(folded, exact, atol=1e-5)


@pytest.mark.parametrize(
    "text",
    [
        # Someone else reads what the convolution makes.
        """(float[n,3,6,6] x) => (float[n,2,4,4] y, float[n,2,4,4] z) {
            a = Conv(x, w) y = BatchNormalization(a, g, h, m, v) z = Relu(a) }""",
        """(float[n,3,6,6] x) => (float[n,2,4,4] y, float[n,2,4,4] a) {
            a = Conv(x, w) y = BatchNormalization(a, g, h, m, v) }""",
        # It is behind something else.
        """(float[n,2,6,6] x) => (float[n,2,6,6] y) {
            a = Relu(x) y = BatchNormalization(a, g, h, m, v) }""",
        # Its numbers are computed.
        """(float[n,3,6,6] x, float[2] k) => (float[n,2,4,4] y) {
            a = Conv(x, w) y = BatchNormalization(a, k, h, m, v) }""",
    ],
)
def test_a_norm_that_may_not_go_stays(text: str, save: Save) -> None:
    model = read_typed(save(text, weights=weights(bias=False)))
    before = model.SerializeToString()
    assert fold_batch_norms(model) == 0
    assert model.SerializeToString() == before
