"""The model file, written without a word about the machine it was made on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx_ir

EXTERNAL_DATA_BYTES = 1_900_000_000
"""Above this a model's weights lie beside it: a protobuf message stops at 2 GB."""
SMALL_BYTES = 1024
"""What never lies beside it: ONNX Runtime reads shapes and axes out of the model alone."""


def save(model: onnx_ir.Model, path: Path, *, name: str, external_data: bool) -> tuple[str, ...]:
    """Write a model without its author's paths; return the names of the files beside it.

    The exporter notes on every node which lines of which files it came from. That tells a reader
    of the package about the machine it was made on, and makes two exports differ.
    """
    _strip(model)
    model.metadata_props["edgekit.package"] = name
    size = sum(
        value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value
    )
    beside = f"{path.name}.data" if external_data or size > EXTERNAL_DATA_BYTES else None
    onnx_ir.save(model, path, external_data=beside, size_threshold_bytes=SMALL_BYTES)
    return (beside,) if beside and (path.parent / beside).exists() else ()


def _strip(model: onnx_ir.Model) -> None:
    _own_tensors(model)
    functions = list(model.functions.values())
    noted: list[Any] = [model, *functions]
    for outermost in (model.graph, *(function.graph for function in functions)):
        for graph in (outermost, *outermost.subgraphs()):
            values = list(graph.initializers.values())
            noted += [graph, *graph.inputs, *values, *(v.const_value for v in values)]
            for node in graph:
                noted += [node, *node.outputs]
    for thing in noted:
        if thing is not None:
            thing.doc_string = None
            thing.metadata_props.clear()


def _own_tensors(model: onnx_ir.Model) -> None:
    """Take what is read out of a protobuf message, notes and all, as plain numbers."""
    for graph in (model.graph, *model.graph.subgraphs()):
        for value in graph.initializers.values():
            if isinstance(value.const_value, onnx_ir.serde.TensorProtoTensor):
                numbers = value.const_value.numpy()
                value.const_value = onnx_ir.tensor(numbers, value.const_value.dtype, value.name)
