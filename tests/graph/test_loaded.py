"""A profile and a graph brought together: by order, by name, and not at all."""

from __future__ import annotations

from typing import Any

import pytest

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

from edgekit.graph.islands import islands  # noqa: E402
from edgekit.graph.loaded import LoadedNode, Ran, as_run  # noqa: E402
from edgekit.graph.ownership import owners, shared_groups  # noqa: E402
from edgekit.graph.sized import Sized, SizedNode  # noqa: E402


def parsed(text: str) -> Any:
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 20]> g {text}')


def floats(*shape: int) -> Sized:
    return Sized("float32", shape)


GRAPH = parsed(
    "(float[n,4] x) => (float[n,3] y) <float[4,3] w = {1,2,3,4,5,6,7,8,9,10,11,12}> "
    "{ [product] h = MatMul(x, w) a = Abs(h) b = Abs(a) [end] y = Relu(b) }"
)


def test_weights_that_a_kernel_packed_are_in_the_graph() -> None:
    ran = [
        Ran("product", "MatMul", (floats(2, 4),), (floats(2, 3),)),
        *(Ran(f"Abs_{n}", "Abs", (floats(2, 3),), (floats(2, 3),)) for n in (7, 9)),
        Ran("end", "Relu", (floats(2, 3),), (floats(2, 3),)),
    ]
    product, first, second, _ = as_run(GRAPH, ran, inputs={"x": floats(2, 4)})
    assert product.sized.inputs == (floats(2, 4), floats(4, 3))
    assert (product.sized.known, product.sized.constant_bytes) == (True, 48)
    assert [(one.inputs, one.outputs) for one in (first, second)] == [
        *((("h",), ("a",)), (("a",), ("b",)))
    ]


def test_a_profile_in_another_order_is_matched_by_name() -> None:
    ran = [
        Ran("end", "Relu", (floats(2, 3),), (floats(2, 3),)),
        Ran("product", "MatMul", (floats(2, 4),), (floats(2, 3),)),
        Ran("Abs_7", "Abs", (floats(2, 3),), (floats(2, 3),)),
    ]
    end, product, lone = as_run(GRAPH, ran, inputs={"x": floats(2, 4)})
    assert (end.outputs, product.outputs) == (("y",), ("h",))
    # There are two without a name and one that ran: which one can't be told.
    assert (lone.outputs, lone.sized.known) == ((), True)


def test_a_product_without_its_node_is_not_known() -> None:
    (alone,) = as_run(None, [Ran("m", "MatMul", (floats(2, 4),), (floats(2, 3),))])
    assert not alone.sized.known


def loaded(model: Any) -> list[LoadedNode]:
    """Give the nodes of a graph, of float32 but for what Q/DQ and integer kernels name."""
    kinds: dict[str, str] = {}
    for node in model.graph.node:
        whole = node.op_type == "QuantizeLinear" or node.op_type.startswith("QLinear")
        kinds.update(dict.fromkeys(node.output, "uint8" if whole else "float32"))
    return [
        LoadedNode(
            SizedNode(
                node.name,
                node.op_type,
                inputs=tuple(Sized(kinds.get(name, "float32"), (1,)) for name in node.input),
                outputs=tuple(Sized(kinds[name], (1,)) for name in node.output),
            ),
            tuple(node.input),
            tuple(node.output),
        )
        for node in model.graph.node
    ]


SOURCE = parsed(
    "(float[1,2,3,3] x, float[2,2,1,1] W) => (float[1,2,3,3] y) "
    "{ [conv1] c = Conv(x, W) [act] r = HardSwish(c) [conv2] y = Conv(r, W) }"
)
FUSED = parsed(
    "(float[1,2,3,3] x, float[2,2,1,1] W) => (float[1,2,3,3] y) "
    "{ [r_nchwc] r = Conv(x, W) [y_nchwc] y = Conv(r, W) }"
)
APART = parsed(
    "(float[1,2,3,3] x, float[2,2,1,1] W, float[] s, uint8[] z) => (float[1,2,3,3] y) "
    "{ xq = QuantizeLinear(x, s, z) [conv1_token_3] q = QLinearConv(xq, s, z, W, s, z, s, z) "
    "d = DequantizeLinear(q, s, z) h = HardSigmoid(d) m = Mul(d, h) "
    "mq = QuantizeLinear(m, s, z) [conv2_token_5] q2 = QLinearConv(mq, s, z, W, s, z, s, z) "
    "y = DequantizeLinear(q2, s, z) }"
)


def test_what_has_no_name_belongs_to_whom_it_follows() -> None:
    found = owners(SOURCE, APART, loaded(APART))
    assert [one.label for one in found if one] == ["conv1"] * 6 + ["conv2"] * 2
    assert [one.named for one in found if one] == [
        *(False, True, False, False, False, False),
        *(True, False),
    ]


def test_groups_are_of_nodes_that_both_have() -> None:
    sides = [owners(SOURCE, SOURCE, loaded(FUSED)), owners(SOURCE, APART, loaded(APART))]
    assert shared_groups(SOURCE, *sides) == {"conv1": "conv1", "act": "conv1", "conv2": "conv2"}


def test_an_island_lies_between_integers() -> None:
    (found,) = islands(loaded(APART))
    nodes = list(APART.graph.node)
    assert [nodes[place].op_type for place in found.nodes] == ["HardSigmoid", "Mul"]
    assert [nodes[place].op_type for place in found.conversions] == [
        *("DequantizeLinear", "QuantizeLinear")
    ]
    assert found.between
    assert not found.unfused


def test_a_product_between_dequantized_operands_is_unfused() -> None:
    graph = parsed(
        "(uint8[2,2] a, uint8[2,2] b, float[] s, uint8[] z) => (uint8[2,2] y) "
        "{ ad = DequantizeLinear(a, s, z) bd = DequantizeLinear(b, s, z) "
        "[product] m = MatMul(ad, bd) y = QuantizeLinear(m, s, z) }"
    )
    (found,) = islands(loaded(graph))
    assert found.unfused == (2,)
    assert len(found.conversions) == 3
