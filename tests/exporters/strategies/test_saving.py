from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir
import pytest

from exporters.strategies import saving


@pytest.fixture
def model() -> onnx_ir.Model:
    """Make a graph with an If, a function and weights, each with notes of where it came from."""
    x = onnx_ir.val("x", onnx_ir.DataType.FLOAT, [2, 300])
    weight = onnx_ir.Value(
        name="w", const_value=onnx_ir.tensor(np.ones((300, 300), np.float32), name="w")
    )
    choice = onnx_ir.Value(name="c", const_value=onnx_ir.tensor(np.array(True), name="c"))
    inner = [onnx_ir.node("Identity", [weight]) for _ in range(2)]
    then, other = (onnx_ir.Graph([], n.outputs, nodes=[n], name="branch") for n in inner)
    chosen = onnx_ir.node("If", [choice], {"then_branch": then, "else_branch": other})
    product = onnx_ir.node("MatMul", [x, chosen.outputs[0]])
    inside = onnx_ir.val("a")
    body = onnx_ir.node("Relu", [inside])
    function = onnx_ir.Function(
        "made",
        "relu",
        graph=onnx_ir.Graph([inside], body.outputs, nodes=[body], opset_imports={"": 20}),
        attributes=[],
    )
    last = onnx_ir.node("relu", [product.outputs[0]], domain="made")
    last.outputs[0].name = "y"
    graph = onnx_ir.Graph(
        [x],
        last.outputs,
        nodes=[chosen, product, last],
        initializers=[weight, choice],
        opset_imports={"": 20, "made": 1},
        name="main",
    )
    made = onnx_ir.Model(graph, ir_version=10, functions=[function])
    noted = [made, graph, function, x, inside, weight, weight.const_value, product.outputs[0]]
    for thing in (*noted, *inner, chosen, product, body, last, then, other):
        assert thing is not None
        thing.doc_string = "from /home/alice/net.py:3"
        thing.metadata_props["pkg.torch.onnx.stack_trace"] = "File /home/alice/net.py"
    return made


@pytest.mark.parametrize("external_data", [False, True])
def test_a_saved_model_tells_nothing_about_its_maker(
    external_data: bool, model: onnx_ir.Model, tmp_path: Path
) -> None:
    path = tmp_path / "fp32.onnx"
    beside = saving.save(model, path, name="net", external_data=external_data)
    assert beside == (("fp32.onnx.data",) if external_data else ())
    assert b"alice" not in path.read_bytes()
    read = onnx_ir.load(path)
    assert dict(read.metadata_props) == {"edgekit.package": "net"}
    assert read.graph.initializers["w"].const_value is not None
    np.testing.assert_array_equal(read.graph.initializers["w"].const_value.numpy(), 1)


def test_weights_that_a_protobuf_message_can_not_hold_go_beside_it(
    model: onnx_ir.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "EXTERNAL_DATA_BYTES", 300 * 300 * 4)
    beside = saving.save(model, tmp_path / "fp32.onnx", name="net", external_data=False)
    assert beside == ("fp32.onnx.data",)
    assert (tmp_path / "fp32.onnx").stat().st_size < 2000
