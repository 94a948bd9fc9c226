"""From a file to another: names, metadata and weights that are too large for one file."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from edgekit.errors import ModelFileError, NotFound
from edgekit.optimize import graphs
from edgekit.optimize.rewriting import rewrite

WEIGHTS = {"W": np.ones((4, 4), np.float32), "V": np.full((4, 64), 2, np.float32)}
TEXT = "(float[n,4] x) => (float[n,64] y) { u = Transpose(W) t = MatMul(x, u) y = MatMul(t, V) }"


def test_weights_that_are_too_large_lie_beside(
    save: Any, run: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "IN_ONE_FILE_BYTES", 100)
    monkeypatch.setattr(graphs, "_SMALL_BYTES", 100)
    path, folder = save(TEXT, weights=WEIGHTS), tmp_path / "made"
    folder.mkdir()
    made = rewrite(path, folder / "made.onnx", passes=["constants"])
    (beside,) = made.files
    assert (folder / beside).is_file()
    feed = {"x": np.ones((2, 4), np.float32)}
    np.testing.assert_array_equal(run(folder / "made.onnx", feed)["y"], run(path, feed)["y"])
    # What lies beside is read again, and written again where it is.
    again = rewrite(folder / "made.onnx", tmp_path / "again.onnx", passes=["constants", "ort"])
    assert again.files
    np.testing.assert_array_equal(run(tmp_path / "again.onnx", feed)["y"], run(path, feed)["y"])


def test_external_data_come_back_into_a_file_with_room(save: Any, run: Any, tmp_path: Any) -> None:
    path = save(TEXT, weights=WEIGHTS)
    outside = tmp_path / "outside.onnx"
    onnx.save(
        onnx.load(path), outside, save_as_external_data=True, location="w.data", size_threshold=0
    )
    made = rewrite(outside, tmp_path / "made.onnx", passes=["constants"])
    (tmp_path / "w.data").unlink()
    feed = {"x": np.ones((2, 4), np.float32)}
    assert made.files == ()
    np.testing.assert_array_equal(run(tmp_path / "made.onnx", feed)["y"], run(path, feed)["y"])


def test_all_passes_together_leave_names_and_metadata(save: Any, tmp_path: Any) -> None:
    path = save(TEXT, weights=WEIGHTS, opset=18)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"package": "tiny"})
    onnx.save(model, path)
    rewrite(path, tmp_path / "made.onnx")
    made = onnx.load(tmp_path / "made.onnx")
    assert (made.graph.input[0].name, made.graph.output[0].name) == ("x", "y")
    assert {p.key: p.value for p in made.metadata_props} == {"package": "tiny"}
    assert next(o.version for o in made.opset_import if o.domain == "") == 18


def test_what_is_no_model_is_refused(tmp_path: Any) -> None:
    with pytest.raises(NotFound):
        rewrite(tmp_path / "none.onnx", tmp_path / "made.onnx")
    (tmp_path / "torn.onnx").write_bytes(b"\x08")
    with pytest.raises(ModelFileError):
        rewrite(tmp_path / "torn.onnx", tmp_path / "made.onnx")
