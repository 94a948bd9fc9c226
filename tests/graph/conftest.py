"""Small graphs in ONNX's own text form, as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def write_text(tmp_path: Path) -> Callable[[str], Path]:
    """Write a whole model given as text into the test's own folder; nothing is checked."""
    onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

    def write(text: str) -> Path:
        path = tmp_path / "net.onnx"
        onnx.save(onnx.parser.parse_model(text), path)
        return path

    return write
