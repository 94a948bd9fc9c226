"""Tiny graphs, written as text, and what they answer in float32 and in fp16."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

Arrays = dict[str, Any]


class Save(Protocol):
    """Write a graph in ONNX's text form: "(float[n,4] x) => (float[n,4] y) { y = Relu(x) }"."""

    def __call__(
        self, text: str, *, weights: Arrays | None = None, opset: int = 20, name: str = "model"
    ) -> Path: ...


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def save(tmp_path: Path) -> Save:
    onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

    def make(
        text: str, *, weights: Arrays | None = None, opset: int = 20, name: str = "model"
    ) -> Path:
        head = f'<ir_version: 10, opset_import: ["": {opset}, "com.microsoft": 1]> g '
        model = onnx.parser.parse_model(head + text)
        for tensor, array in (weights or {}).items():
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), tensor))
        path = tmp_path / f"{name}.onnx"
        onnx.save(model, path)
        return path

    return make


@pytest.fixture
def run() -> Callable[[Path, Arrays], Arrays]:
    """Run a file with ONNX Runtime itself, on the CPU."""
    import onnxruntime as ort

    def answer(path: Path, feed: Arrays) -> Arrays:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, feed), strict=True))

    return answer


@pytest.fixture
def nodes() -> Callable[[Path], list[str]]:
    """List the operators of a file's main graph, in order."""
    onnx = pytest.importorskip("onnx")
    return lambda path: [
        node.op_type for node in onnx.load(path, load_external_data=False).graph.node
    ]
