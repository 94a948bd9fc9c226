"""Tiny graphs, written as text, what they answer, and passes run over them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

pytest.importorskip("onnx_ir", reason="models are rewritten with onnx-ir")

Arrays = dict[str, Any]


class Applied(Protocol):
    """Apply a pass to a file, hold its answers to the file's own, and give its operators.

    None where the pass found nothing. It is applied a second time, and must find nothing then.
    """

    def __call__(
        self, name: str, path: Path, feed: Arrays, *, near: float = 1e-5
    ) -> list[str] | None: ...


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def run() -> Callable[[Path, Arrays], Arrays]:
    """Run a file with ONNX Runtime itself on the CPU, without its own optimizations."""
    import onnxruntime as ort

    def answer(path: Path, feed: Arrays) -> Arrays:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, feed), strict=True))

    return answer


@pytest.fixture
def operators() -> Callable[[Path], list[str]]:
    """List the operators of a file's main graph, in order."""
    import onnx

    return lambda path: [
        node.op_type for node in onnx.load(path, load_external_data=False).graph.node
    ]


@pytest.fixture
def loaded(
    tmp_path: Path, operators: Callable[[Path], list[str]]
) -> Callable[[Path, str], list[str]]:
    """List the operators of what ONNX Runtime makes of a file at a graph level."""
    import onnxruntime as ort

    def load(path: Path, level: str) -> list[str]:
        options = ort.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
        options.log_severity_level = 3
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
        ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return operators(tmp_path / "loaded.onnx")

    return load


@pytest.fixture
def applied(
    tmp_path: Path,
    run: Callable[[Path, Arrays], Arrays],
    operators: Callable[[Path], list[str]],
) -> Applied:
    import onnx

    from edgekit.optimize.rewriting import rewrite

    def apply(name: Any, path: Path, feed: Arrays, *, near: float = 1e-5) -> list[str] | None:
        before = path.read_bytes()
        first, second = tmp_path / "first.onnx", tmp_path / "second.onnx"
        (step,) = rewrite(path, first, passes=[name]).steps
        assert path.read_bytes() == before
        onnx.checker.check_model(first, full_check=False)
        expected, got = run(path, feed), run(first, feed)
        assert list(got) == list(expected)
        for output, array in expected.items():
            np.testing.assert_allclose(got[output], array, rtol=near, atol=near)
        (again,) = rewrite(first, second, passes=[name]).steps
        assert not again.changed
        return operators(first) if step.changed else None

    return apply
