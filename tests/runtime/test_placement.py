"""Where nodes run, and the copies that only a profile tells of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit import providers
from edgekit.errors import NodesElsewhere
from edgekit.runtime import placement


def event(name: str, operator: str, category: str = "Node") -> dict[str, Any]:
    """Write an event as ONNX Runtime's profiler does."""
    return {
        "cat": category,
        "pid": 7,
        "tid": 7,
        "dur": 12,
        "ts": 16721,
        "ph": "X",
        "name": name,
        "args": {"op_name": operator, "provider": "CUDAExecutionProvider", "node_index": "1"},
    }


def test_nodes_that_copy_are_counted_once_whatever_is_told_of_them(tmp_path: Path) -> None:
    events = [
        {"cat": "Session", "name": "model_run", "ph": "X", "args": {}},
        event("Memcpy_token_1_fence_before", "MemcpyToHost"),
        event("Memcpy_token_1_kernel_time", "MemcpyToHost"),
        event("Memcpy_token_1_fence_after", "MemcpyToHost"),
        event("Conv_3_kernel_time", "Conv"),
        event("Memcpy_token_2_kernel_time", "MemcpyFromHost"),
        event("a kernel on the GPU", "MemcpyFromHost", category="Kernel"),
    ]
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps(events))
    assert placement.copies(profile) == 2
    profile.write_text("[]")
    assert placement.copies(profile) == 0


def test_nodes_are_counted_by_operator_the_most_first(tiny_onnx: Any) -> None:
    model = edgekit.load(tiny_onnx())
    nodes = model.facts.placement
    assert nodes is not None
    assert list(nodes) == ["cpu"]
    counts = list(nodes["cpu"].values())
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) >= 1


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ({"cuda": {"Conv": 50, "Add": 1}}, "all 51 nodes"),
        ({"cuda": {"Conv": 1}}, "all 1 node"),
        (
            {"cuda": {"Conv": 50}, "cpu": {"Shape": 2, "Gather": 1}},
            "50 nodes; 3 on cpu (2 Shape, 1 Gather)",
        ),
        ({"cuda": {"Conv": 50}, "cpu": {}}, "all 50 nodes"),
        (
            {"tensorrt": {"com.microsoft.EPContext": 1, "Add": 1}},
            "all 2 nodes, 1 of them a compiled part of the model",
        ),
    ],
)
def test_where_nodes_run_is_said_in_words(nodes: dict[str, dict[str, int]], said: str) -> None:
    assert placement.in_words(nodes) == said


def test_nodes_elsewhere_are_refused_where_none_may_be() -> None:
    placement.refuse_elsewhere("cnn", {"cuda": {"Conv": 2}, "cpu": {}}, provider="cuda")
    with pytest.raises(NodesElsewhere) as error:
        placement.refuse_elsewhere(
            "cnn", {"cuda": {"Conv": 2}, "cpu": {"Shape": 2}}, provider="cuda"
        )
    assert error.value.facts["elsewhere"] == {"cpu": {"Shape": 2}}


def test_a_provider_is_named_as_we_name_it(tiny_onnx: Any) -> None:
    session: Any = edgekit.load(tiny_onnx())._session
    assert list(placement.nodes_by_provider(session, providers.find("cpu"))) == ["cpu"]
    # As a provider would see it that was asked for and got no node.
    nodes = placement.nodes_by_provider(session, providers.find("tensorrt"))
    assert nodes["tensorrt"] == {}
    assert list(nodes) == ["tensorrt", "cpu"]
    assert session.run(None, {"x": np.zeros((1, 4), np.float32)})
