"""Whose node a profile's is: by its name, by the value it gives, or by whom alone it serves."""

from __future__ import annotations

from typing import Any

import pytest

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

from edgekit.graph.node_names import NodeNames  # noqa: E402


def parsed(text: str) -> Any:
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 20]> g {text}')


FLOAT = parsed(
    "(float[1,2,3,3] x, float[2,2,1,1] W) => (float[1,2,3,3] y) "
    "{ [conv_1] c = Conv(x, W) [act_1] r = Relu(c) [conv_12] y = Conv(r, W) }"
)


@pytest.mark.parametrize(
    ("name", "operator", "owner"),
    [
        ("conv_1", "Conv", "conv_1"),
        ("conv_12", "Conv", "conv_12"),
        ("conv_1_token_3", "QLinearConv", "conv_1"),
        ("conv_1/MatMulScaleFusion/", "FusedConv", "conv_1"),
        ("fused conv_1", "FusedConv", "conv_1"),
        ("conv_1_MatMulInteger_node", "ConvInteger", "conv_1"),
        ("r_nchwc", "Conv", "conv_1"),  # Conv and Relu in one, named after what comes out
        ("y_nchwc", "Conv", "conv_12"),
        ("x_nchwc", "Conv", None),
        ("ReorderOutput", "ReorderOutput", None),
        ("conv_123", "Conv", None),
    ],
)
def test_names_that_a_runtime_gives_lead_back(name: str, operator: str, owner: str | None) -> None:
    assert NodeNames(FLOAT, ["conv_1", "act_1", "conv_12"]).owner(name, operator) == owner


QDQ = parsed(
    "(float[2,2] x, float[2,2] W, float[] s, uint8[] z) => (float[2,2] y, float[2,2] k) "
    "{ [norm] n = Relu(x) "
    "[shared_q] nq = QuantizeLinear(n, s, z) [shared_dq] nd = DequantizeLinear(nq, s, z) "
    "[query] a = MatMul(nd, W) [key] b = MatMul(nd, W) k = Abs(b) "
    "[own_q] aq = QuantizeLinear(a, s, z) [own_dq] ad = DequantizeLinear(aq, s, z) "
    "[sum] c = Add(ad, n) "
    "[last_q] cq = QuantizeLinear(c, s, z) [last_dq] cd = DequantizeLinear(cq, s, z) "
    "[last] y = MatMul(cd, W) }"
)


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("shared_q", None),  # both products use it: with one in float it is still there
        ("shared_dq", None),
        ("own_q", "query"),  # behind the one that is quantized, before one that isn't
        ("own_dq", "query"),
        ("last_q", "last"),
        ("last_dq_token_1", "last"),
    ],
)
def test_what_stands_between_nodes_is_ones_own_where_it_serves_it_alone(
    name: str, owner: str | None
) -> None:
    labels = ["norm", "query", "key", "Abs:k", "sum", "last"]
    names = NodeNames(QDQ, labels, quantized=["query", "key", "last"])
    operator = "QuantizeLinear" if "_q" in name else "DequantizeLinear"
    assert names.owner(name, operator) == owner


def test_between_two_quantized_nodes_it_is_nobodys() -> None:
    names = NodeNames(QDQ, ["norm", "query", "key", "sum", "last"], quantized=["query", "sum"])
    assert names.owner("own_q", "QuantizeLinear") is None
