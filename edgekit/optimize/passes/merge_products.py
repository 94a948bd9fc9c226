"""Products of one value and several constant weights become one product, split afterwards.

    before                      after
    x ─ MatMul(A) ─ Add(a)      x ─ MatMul([A B C]) ─ Add([a b c]) ─ Split ─┬─
    x ─ MatMul(B) ─ Add(b)                                                  ├─
    x ─ MatMul(C) ─ Add(c)                                                  └─

One large product keeps more of a processor busy than three small ones, and a product of fewer bits
turns x into integers once. The rule: float32, weights [K, N], at least two products of one x, all
with a bias or all without.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgekit.optimize import graphs
from edgekit.optimize.pass_info import PassInfo
from edgekit.optimize.products import Product, product_ending

_FIRST_OPSET = 13
"""Before it Split takes its sizes as an attribute."""


def apply(model: ir.Model) -> ir.Model | None:
    """Merge the products of every value that has several."""
    if graphs.opset(model) < _FIRST_OPSET:
        return None
    by_input: dict[tuple[ir.Value, bool], list[Product]] = {}
    for node in model.graph:
        if node.op_type == "MatMul" and not node.domain:
            product = product_ending(node)
            if product is not None:
                key = (product.x, product.bias is None)
                by_input.setdefault(key, []).append(product)
    groups = [group for group in by_input.values() if len(group) > 1]
    for group in groups:
        _merge(model, group)
    return model if groups else None


PASS = PassInfo(
    name="merge-products",
    summary="MatMuls of one value and several weights become one MatMul and a Split",
    apply=apply,
)


def _merge(model: ir.Model, group: list[Product]) -> None:
    graph, first = model.graph, group[0]
    stem = f"{first.output.name}/merged"
    weight = np.concatenate([product.weight for product in group], axis=1)
    held = graphs.initializer(graph, f"{stem}.weight", weight)
    nodes = [graphs.new_node("MatMul", [first.x, held], name=f"{stem}/MatMul")]
    if first.bias is not None:
        bias = np.concatenate([p.bias for p in group if p.bias is not None])
        added = graphs.initializer(graph, f"{stem}.bias", bias)
        nodes.append(graphs.new_node("Add", [nodes[-1].outputs[0], added], name=f"{stem}/Add"))
    widths = np.array([product.weight.shape[1] for product in group], np.int64)
    sizes = graphs.initializer(graph, f"{stem}.widths", widths)
    split = graphs.new_node(
        "Split",
        [nodes[-1].outputs[0], sizes],
        attributes={"axis": -1},
        name=f"{stem}/Split",
        outputs=len(group),
    )
    nodes.append(split)
    _place(group, nodes)
    for product, output in zip(group, split.outputs, strict=True):
        graphs.take_over(product.output, output)


def _place(group: list[Product], nodes: list[ir.Node]) -> None:
    """Put the new nodes in front of the first of the old ones: nobody takes them before."""
    graph = group[0].nodes[0].graph
    assert graph is not None
    graph.insert_before(group[0].nodes[0], nodes)
