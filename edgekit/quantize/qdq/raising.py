"""Bring a model to an opset that has what Q/DQ needs: one scale a channel came with opset 13."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import onnx.shape_inference
import onnx.version_converter

from edgekit.errors import BadValue

OPSET = 13
"""The first opset whose DequantizeLinear knows an axis."""

_FIRST_IR = 4
"""The IR version from which on a weight need not be listed among the inputs."""


def raised(model: Any, path: Path) -> Any:
    """Return a model at opset 13 or what it has already, whichever is newer, its types worked out.

    Args:
        model: what `elements.read_typed` gave, weights loaded.
        path: its file, for messages.

    Raises:
        BadValue: ONNX's own converter can't raise it.
    """
    _hold_weights_constant(model)
    now = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), OPSET)
    if now >= OPSET:
        return model
    try:
        converted = onnx.version_converter.convert_version(model, OPSET)
        return onnx.shape_inference.infer_shapes(converted)
    except Exception as error:  # the converter raises RuntimeError, protobuf its own past 2 GB
        said = " ".join(str(error).split())
        raise BadValue(
            what="a model to make int8",
            asked=f"{path}, which is opset {now} ({said})",
            expected=f"opset {OPSET} or newer; export it again with a newer one",
        ) from error


def _hold_weights_constant(model: Any) -> None:
    """Take weights off the inputs, through which a caller could still give others."""
    weights = {tensor.name for tensor in model.graph.initializer}
    for index in reversed(range(len(model.graph.input))):
        if model.graph.input[index].name in weights:
            del model.graph.input[index]
    model.ir_version = max(model.ir_version, _FIRST_IR)
