"""ONNX Runtime's own optimizer, written to a file."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from edgekit.errors import ModelFileError
from edgekit.optimize.pass_info import find
from edgekit.optimize.rewriting import rewrite

WEIGHTS = {"W": np.ones((8, 3, 3, 3), np.float32), "A": np.ones((4, 4), np.float32)}
IMAGE = {"x": np.arange(192, dtype=np.float32).reshape(1, 3, 8, 8)}
CONV = "(float[n,3,8,8] x) => (float[n,8,6,6] y) { t = Conv(x, W) y = Relu(t) }"


def test_it_fuses_what_onnxruntime_fuses(save: Any, applied: Any, run: Any) -> None:
    text = "(float[n,4] x) => (float[n,4] y) { t = Gemm(x, A) y = Relu(t) }"
    feed = {"x": np.ones((2, 4), np.float32)}
    assert applied("ort", save(text, weights=WEIGHTS), feed) == ["FusedGemm"]


def test_names_operator_set_and_metadata_stay(save: Any, tmp_path: Any) -> None:
    path = save(CONV, weights=WEIGHTS, opset=18)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"edgekit": "cnn"})
    onnx.save(model, path)
    made = tmp_path / "made.onnx"
    rewrite(path, made, passes=["ort"])
    after = onnx.load(made)
    assert {p.key: p.value for p in after.metadata_props} == {"edgekit": "cnn"}
    assert next(o.version for o in after.opset_import if o.domain == "") == 18
    assert ([i.name for i in after.graph.input], after.graph.output[0].name) == (["x"], "y")


def test_layouts_of_a_processor_are_said_to_belong_to_it(
    save: Any, tmp_path: Any, run: Any
) -> None:
    path, made = save(CONV, weights=WEIGHTS), tmp_path / "made.onnx"
    assert (find("ort").bound, find("ort-layout").bound) == (False, True)
    rewrite(path, made, passes=["ort-layout"])
    np.testing.assert_allclose(run(made, IMAGE)["y"], run(path, IMAGE)["y"], rtol=1e-5)


def test_what_onnxruntime_refuses_is_an_error(save: Any, tmp_path: Any) -> None:
    path = save("(float[n,4] x) => (float[n,4] y) { y = com.microsoft.NoSuchThing(x) }")
    with pytest.raises(ModelFileError, match="NoSuchThing"):
        rewrite(path, tmp_path / "made.onnx", passes=["ort"])
