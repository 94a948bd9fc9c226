"""Small graphs in ONNX's own text form, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest


class WriteOnnx(Protocol):
    """Write a graph given as text, ``float[n] x) => (float[n] y) { y = Relu(x) }``."""

    def __call__(self, graph: str, name: str = "net") -> Path: ...


@pytest.fixture
def write_onnx(tmp_path: Path) -> WriteOnnx:
    """Write graphs into the test's own folder: opset 20, IR version 10, nothing checked."""
    onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

    def write(graph: str, name: str = "net") -> Path:
        head = '<ir_version: 10, opset_import: ["": 20, "com.microsoft": 1]>'
        path = tmp_path / f"{name}.onnx"
        onnx.save(onnx.parser.parse_model(f"{head} g {graph}"), path)
        return path

    return write
