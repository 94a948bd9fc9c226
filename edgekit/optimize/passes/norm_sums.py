"""The Add in front of a LayerNormalization is written as a Sum, which onnxruntime leaves alone.

onnxruntime fuses the two into SkipLayerNormalization, which its CPU provider computes row by row
without vector instructions: measured on 128 rows of 384, 270 µs against 32 for the nodes apart. It
knows an Add there and no Sum, and a Sum of two is as fast as an Add.

    before                                   after
    a ─┐                                     a ─┐
    b ─ Add ── LayerNormalization ── y       b ─ Sum ── LayerNormalization ── y

The rule: the sum, in float32, goes into the normalization and nowhere else. (Where it goes on,
onnxruntime doesn't fuse it.)
"""

from __future__ import annotations

import onnx_ir as ir

from edgekit.optimize import graphs
from edgekit.optimize.pass_info import PassInfo


def apply(model: ir.Model) -> ir.Model | None:
    """Write every Add that only a LayerNormalization takes as a Sum."""
    norms = [n for n in model.graph if n.op_type == "LayerNormalization" and not n.domain]
    found = [_rewritten(norm) for norm in norms]
    return model if any(found) else None


PASS = PassInfo(
    name="norm-sums",
    summary="the Add before a LayerNormalization stays out of onnxruntime's slower fusion of both",
    apply=apply,
)


def _rewritten(norm: ir.Node) -> bool:
    total = norm.inputs[0]
    added = graphs.made_by(total, "Add")
    if total is None or added is None or total.dtype != graphs.FLOAT:
        return False
    if graphs.only_use(total) is not norm:
        return False
    node = graphs.new_node("Sum", list(added.inputs), name=f"{added.name or total.name}/Sum")
    graphs.put_in_place(total, [node], node.outputs[0])
    return True
