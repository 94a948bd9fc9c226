"""The graph as onnxruntime's own optimizer writes it, up to its level "extended".

The same happens whenever a session opens, so calls get no faster by it as a rule; opening does, by
what optimizing takes. Fusions into operators of onnxruntime's own are among it, layouts that belong
to a processor are not.

    before                             after
    MatMul ─ Add ─ Gelu                MatMul ─ BiasGelu
    Conv ─ Relu                        FusedConv
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx_ir as ir
import onnxruntime as ort

from edgekit.errors import ModelFileError
from edgekit.optimize import graphs
from edgekit.optimize.pass_info import PassInfo

_QUIET = 3
_EXTERNAL_NAME = "weights.data"
_EXTERNAL = "session.optimized_model_external_initializers_file_name"


def optimized(model: ir.Model, level: ort.GraphOptimizationLevel) -> ir.Model | None:
    """Give the model as onnxruntime optimizes it at a level; None where it changes nothing.

    Raises:
        ModelFileError: onnxruntime refuses the model.
    """
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        beside = graphs.save(model, before)
        options = ort.SessionOptions()
        options.log_severity_level = _QUIET
        options.graph_optimization_level = level
        options.optimized_model_filepath = str(after)
        if beside:
            options.add_session_config_entry(_EXTERNAL, _EXTERNAL_NAME)
        try:
            ort.InferenceSession(before, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no class but this one
            raise ModelFileError(path="the model", problem=" ".join(str(error).split())) from error
        found = ir.load(after)
        graphs.in_memory(found)
    if [n.op_type for n in found.graph] == [n.op_type for n in model.graph]:
        return None
    found.metadata_props.clear()
    found.metadata_props.update(model.metadata_props)
    found.producer_name, found.producer_version = model.producer_name, model.producer_version
    return found


def apply(model: ir.Model) -> ir.Model | None:
    """Optimize with what holds on any processor."""
    return optimized(model, ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)


PASS = PassInfo(
    name="ort",
    summary="the graph as onnxruntime's optimizer writes it, right on any processor",
    apply=apply,
)
