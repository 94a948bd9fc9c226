"""What ran, out of ONNX Runtime's profile: real runs, and loops whose times nest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.package.values import SessionChoice
from edgekit.runtime.kernels import kernels_of, profile_kernels, save_loaded


def test_a_run_tells_times_providers_and_sizes(tiny_onnx: Callable[..., Path]) -> None:
    session = SessionChoice(graph_level="disabled", threads=1)
    feed = {"x": np.ones((2, 4), np.float32)}
    found = profile_kernels(str(tiny_onnx()), "portable", session, feed, 5, 2)
    assert [kernel.operator for kernel in found] == ["MatMul", "Add", "Relu"]
    assert {kernel.provider for kernel in found} == {"CPUExecutionProvider"}
    assert found[-1].outputs == [("float", [2, 3])]
    assert all(kernel.turns == 1 for kernel in found)


def test_the_graph_that_was_made_is_saved(tiny_onnx: Callable[..., Path], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    saved = tmp_path / "loaded.onnx"
    assert save_loaded(str(tiny_onnx()), str(saved), SessionChoice(threads=1)) == ""
    operators = [node.op_type for node in onnx.load(saved).graph.node]
    assert operators
    assert set(operators) <= {"MatMul", "Add", "Relu", "Gemm", "FusedGemm"}


def event(name: str, operator: str, ts: float, dur: float) -> dict[str, Any]:
    return {
        "cat": "Node",
        "name": f"{name}_kernel_time",
        "ts": ts,
        "dur": dur,
        "args": {"op_name": operator, "provider": "P", "output_type_shape": [{"float": [2]}]},
    }


RUN = {"cat": "Session", "name": "model_run", "ts": 0, "dur": 0}


def test_a_loop_has_what_its_nodes_do_not_take() -> None:
    # ONNX Runtime tells of what is inside first; the inner branch lies inside the loop.
    events = [
        event("before", "Relu", 0, 5),
        event("add", "Add", 12, 10),
        event("mul", "Mul", 24, 4),
        event("branch", "If", 23, 6),
        event("add", "Add", 30, 10),
        event("loop", "Loop", 10, 40),
        RUN,
    ]
    found = {kernel.name: kernel for kernel in kernels_of(events, runs=1)}
    assert list(found) == ["before", "loop", "add", "branch", "mul"]
    assert {name: kernel.us for name, kernel in found.items()} == {
        **{"before": 5, "loop": 40 - 10 - 10 - 6, "add": 20},
        **{"branch": 2, "mul": 4},
    }
    assert found["add"].turns == 2
    assert sum(kernel.us for kernel in found.values()) == 45


def test_only_the_runs_that_count_do() -> None:
    events = [event("a", "Relu", 0, 100), RUN, event("a", "Relu", 0, 6), RUN]
    events += [event("a", "Relu", 0, 8), RUN]
    (kernel,) = kernels_of(events, runs=2)
    assert kernel.us == 7
    assert kernel.outputs == [("float", [2])]


def test_a_profile_without_nodes_has_none() -> None:
    assert kernels_of([RUN, RUN], runs=2) == []
