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


def raised(model: Any, path: Path) -> Any:
    """Return a model at opset 13 or what it has already, whichever is newer, its types worked out.

    Args:
        model: what `elements.read_typed` gave, weights loaded.
        path: its file, for messages.

    Raises:
        BadValue: ONNX's own converter can't raise it.
    """
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
