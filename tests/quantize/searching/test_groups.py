"""Groups of nodes that belong together, told by names or by neighbourhood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

from edgekit.quantize.searching.groups import NodeGroup, groups_of  # noqa: E402


def chain(weights: Sequence[str], names: Sequence[str] | None = None) -> Any:
    """Build a chain of MatMuls, one for each weight's name; without one a Relu stands there."""
    nodes, value = [], "x"
    for index, weight in enumerate(weights):
        name = names[index] if names else f"node_{index}"
        kind, inputs = ("MatMul", [value, weight]) if weight else ("Relu", [value])
        nodes.append(onnx.helper.make_node(kind, inputs, [f"v{index}"], name=name))
        value = f"v{index}"
    tensors = [
        onnx.numpy_helper.from_array(np.eye(2, dtype=np.float32), name)
        for name in dict.fromkeys(filter(None, weights))
    ]
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes, "g", [info("x", 1, [2, 2])], [info(value, 1, [2, 2])], tensors
    )
    return onnx.helper.make_model(graph)


def labels(model: Any) -> list[str]:
    return [node.name for node in model.graph.node]


def test_layers_are_groups_and_nodes_without_weights_stand_with_those_before() -> None:
    parts = ("query.weight", "key.weight", "value.weight", "", "joined.weight", "network.0.weight")
    model = chain([p and f"encoder.layers.{i}.{p}" for i in range(3) for p in parts])
    found = groups_of(model, labels(model))
    assert [group.name for group in found] == [f"encoder.layers.{i}" for i in range(3)]
    assert found[0] == NodeGroup("encoder.layers.0", tuple(f"node_{i}" for i in range(6)))


def test_a_large_layer_is_cut_into_its_parts() -> None:
    weights = [f"net.{layer}.{p}.{i}.weight" for layer in "ab" for p in "xyz" for i in range(4)]
    model = chain(weights)
    assert [group.name for group in groups_of(model, labels(model))] == [
        f"net.{layer}.{p}" for layer in "ab" for p in "xyz"
    ]


def test_names_of_nodes_tell_as_well_as_names_of_weights() -> None:
    names = [f"/layer{i}/{part}/MatMul" for i in (1, 2) for part in ("conv1", "conv2", "conv3")]
    model = chain([f"onnx::w{i}" for i in range(6)], names)
    found = groups_of(model, names)
    assert [group.name for group in found] == ["layer1", "layer2"]
    assert found[1].nodes == tuple(names[3:])


def test_the_bias_behind_a_product_says_whose_it_is() -> None:
    """The exporter folds a transposition into a weight, which then has no name to go by."""
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 20]> g (float[2,2] x) => (float[2,2] y) '
        "<float[2,2] val_1 = {1,0,0,1}, float[2,2] val_2 = {1,0,0,1}, float[2] b = {0,0}> "
        "{ [one] a = MatMul(x, val_1) [two] h = Add(a, b) [three] c = MatMul(h, val_2) "
        "[four] y = Add(c, b) }"
    )
    for tensor, node, name in ((2, 1, "first.lin.bias"), (2, 3, "second.lin.bias")):
        copy = model.graph.initializer.add()
        copy.CopyFrom(model.graph.initializer[tensor])
        copy.name = name
        model.graph.node[node].input[1] = name
    found = groups_of(model, ["one", "three"])
    assert [(group.name, group.nodes) for group in found] == [
        ("first", ("one",)),
        ("second", ("three",)),
    ]


def test_neighbours_are_groups_where_names_say_nothing() -> None:
    model = chain([f"w{index}" for index in range(20)])
    found = groups_of(model, labels(model))
    assert [len(group.nodes) for group in found] == [7, 7, 6]
    assert found[0].name == "node_0 … node_6"


def test_only_the_asked_nodes_are_in_groups() -> None:
    model = chain([f"net.{i}.weight" for i in range(5)])
    found = groups_of(model, ["node_4", "node_1"])
    assert [node for group in found for node in group.nodes] == ["node_1", "node_4"]
    assert groups_of(model, []) == ()


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(["", "w", "a.b.w", "a.c.w", "a.c.d.w", "e.w"]), min_size=1))
def test_every_node_is_in_one_group_and_two_nodes_never_make_one(weights: list[str]) -> None:
    model = chain(weights)
    found = groups_of(model, labels(model))
    assert sorted(node for group in found for node in group.nodes) == sorted(labels(model))
    assert len(found) > 1 or len(weights) == 1
    assert len({group.name for group in found}) == len(found)
