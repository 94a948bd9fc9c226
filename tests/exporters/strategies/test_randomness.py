from __future__ import annotations

import numpy as np
import onnx_ir

from exporters.strategies.randomness import drawn_outputs

X = onnx_ir.val("x", onnx_ir.DataType.FLOAT, [2])


def model_of(nodes: list[onnx_ir.Node], *outputs: onnx_ir.Value) -> onnx_ir.Model:
    for index, output in enumerate(outputs):
        output.name = f"y{index}"
    graph = onnx_ir.Graph([], list(outputs), nodes=nodes, opset_imports={"": 20}, name="g")
    return onnx_ir.Model(graph, ir_version=10)


def test_what_depends_on_a_draw_is_drawn_and_nothing_else() -> None:
    noise = onnx_ir.node("RandomNormalLike", [X])
    added = onnx_ir.node("Add", [X, noise.outputs[0]])
    doubled = onnx_ir.node("Add", [X, X])
    model = model_of([noise, added, doubled], added.outputs[0], doubled.outputs[0])
    assert drawn_outputs(model) == {"y0"}


def test_the_shape_of_what_was_drawn_is_not_drawn() -> None:
    noise = onnx_ir.node("RandomNormalLike", [X])
    shape = onnx_ir.node("Shape", [noise.outputs[0]])
    assert drawn_outputs(model_of([noise, shape], shape.outputs[0])) == frozenset()


def test_a_draw_inside_a_branch_or_a_function_counts() -> None:
    inner = onnx_ir.node("Bernoulli", [X])
    body = onnx_ir.Graph([], inner.outputs, nodes=[inner], name="branch")
    choice = onnx_ir.node("If", [X], {"then_branch": body})
    inside = onnx_ir.node("RandomUniform", [])
    function = onnx_ir.Function(
        "made",
        "noise",
        graph=onnx_ir.Graph([], inside.outputs, nodes=[inside], opset_imports={"": 20}),
        attributes=[],
    )
    called = onnx_ir.node("noise", [], domain="made")
    model = model_of([choice, called], choice.outputs[0], called.outputs[0])
    model.functions[function.identifier()] = function
    assert drawn_outputs(model) == {"y0", "y1"}


def test_a_dropout_draws_in_training_mode_alone() -> None:
    ratio, on, off = (
        onnx_ir.Value(name=name, const_value=onnx_ir.tensor(np.array(value), name=name))
        for name, value in (("ratio", np.float32(0.5)), ("on", True), ("off", False))
    )
    drawn = onnx_ir.node("Dropout", [X, ratio, on])
    kept = [onnx_ir.node("Dropout", [X, ratio, off]), onnx_ir.node("Dropout", [X])]
    outputs = [node.outputs[0] for node in (drawn, *kept)]
    assert drawn_outputs(model_of([drawn, *kept], *outputs)) == {"y0"}
