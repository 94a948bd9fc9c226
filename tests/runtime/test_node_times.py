"""A model's nodes, each with its time, out of a profile of ONNX Runtime's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.package.values import SessionChoice
from edgekit.runtime.node_times import NodeTime, time_nodes
from edgekit.workers import Call, Worker


def test_every_node_is_told_once(tiny_onnx: Callable[..., Path]) -> None:
    feed = {"x": np.ones((2, 4), np.float32)}
    session = SessionChoice(graph_level="disabled")
    found = time_nodes(str(tiny_onnx()), "portable", session, feed, 5, 2)
    assert [node.operator for node in found] == ["MatMul", "Add", "Relu"]
    assert all(node.us >= 0 for node in found)


def test_it_is_called_in_a_worker_and_leaves_nothing_behind(
    tiny_package: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    arguments = {
        "path": str(tiny_package),
        "variant": "fp32",
        "session": SessionChoice(),
        "feed": {"x": np.ones((1, 4), np.float32)},
        "runs": 4,
        "warm_ups": 1,
    }
    with Worker("timing", wall_s=60) as worker:
        call = Call("edgekit.runtime.node_times:time_nodes", arguments)
        found = worker.call(call, returns=list[NodeTime])
    assert sum(node.us for node in found) > 0
    assert list((tmp_path / "temporary").glob("edgekit-*")) == []
