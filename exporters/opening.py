"""An exported file in ONNX Runtime, for the first time."""

from __future__ import annotations

from pathlib import Path

import onnx_ir

from edgekit.errors import ExportFailed, ModelFileError
from edgekit.package.values import SessionChoice
from edgekit.runtime.loading import open_model
from edgekit.runtime.model import Model
from exporters.strategies.conditions import coarse_types


def opened(path: Path, name: str, model: onnx_ir.Model) -> Model:
    """Open an exported file, of which `model` is the graph.

    Raises:
        ExportFailed: ONNX Runtime refuses it.
    """
    try:
        return open_model(path, "portable", SessionChoice())
    except ModelFileError as error:
        coarse = " and ".join(coarse_types(model))
        raise ExportFailed(
            target=name,
            problem="ONNX Runtime refuses the model that torch made: "
            + error.facts["problem"].rstrip(".")
            + (f". It computes in {coarse}, for which the CPU lacks kernels" if coarse else ""),
            workaround="Export module.float() without autocast, and lower the precision afterwards."
            if coarse
            else "",
        ) from error
