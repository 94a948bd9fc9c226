"""Tiny graphs, written as text, and what they answer in float32 and in fp16."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Arrays = dict[str, Any]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))


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
