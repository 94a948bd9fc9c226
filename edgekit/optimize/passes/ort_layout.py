"""The graph as onnxruntime's optimizer writes it for this processor, its layouts included.

Convolutions work on blocks of as many channels as the processor's vectors hold (NCHWc), so their
weights are laid out anew and the file is right where the instruction sets are these. As with `ort`,
a session does the same when it opens the model.

    before                         after
    Conv ─ Relu ─ MaxPool          ReorderInput ─ Conv (NCHWc) ─ MaxPool (NCHWc) ─ ReorderOutput
"""

from __future__ import annotations

import onnx_ir as ir
import onnxruntime as ort

from edgekit.optimize.pass_info import PassInfo
from edgekit.optimize.passes.ort import optimized


def apply(model: ir.Model) -> ir.Model | None:
    """Optimize with everything, for this processor."""
    return optimized(model, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)


PASS = PassInfo(
    name="ort-layout",
    summary="the graph as onnxruntime's optimizer writes it for this processor's vectors",
    apply=apply,
    bound=True,
)
