"""The ways to turn a module into ONNX. Each runs in a worker of its own: an export can poison the
next one in the same process.
"""

from __future__ import annotations

import logging
import re
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx_ir
import torch

from edgekit import cache
from edgekit.errors import DimensionLost, ExportFailed, OpsetUnavailable
from edgekit.tensors import Dim
from exporters.original import Original

EXTERNAL_DATA_BYTES = 1_900_000_000
"""Above this a model's weights lie beside it: a protobuf message stops at 2 GB."""
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')


def dynamo(
    original: Original,
    example: Mapping[str, torch.Tensor],
    shapes: Mapping[str, tuple[int | Dim, ...]],
    *,
    opset: int,
    label: str,
) -> onnx_ir.Model:
    """Export with torch's dynamo exporter, every named dimension held dynamic.

    Args:
        original: the module and how it is called.
        example: tensors by name; a dynamic dimension of size 1 would become static, so they have
            at least 2 there.
        shapes: the shape of each input, with `Dim` where it must stay dynamic.
        opset: the version of ONNX's operators that must come out.

    Raises:
        ExportFailed: torch could not export the module.
        DimensionLost: a dimension became static, or another than was asked for.
        OpsetUnavailable: torch gave another opset.
    """
    args, kwargs = original.arguments(example)
    dims = {
        dim.name: torch.export.Dim(dim.name, min=dim.low, max=dim.high)
        for shape in shapes.values()
        for dim in shape
        if isinstance(dim, Dim)
    }
    per_input = [
        {axis: dims[d.name] for axis, d in enumerate(shapes[name]) if isinstance(d, Dim)}
        for name in original.input_names
    ]
    dynamic = (
        dict(zip(original.keys, per_input, strict=True))
        if original.by_keyword
        else tuple(per_input)
    )
    with _quiet_exporter():
        try:
            program = torch.onnx.export(
                original.module,
                args,
                kwargs=kwargs or None,
                dynamo=True,
                opset_version=opset,
                dynamic_shapes=dynamic if dims else None,
                input_names=original.input_names,
                output_names=original.output_names,
                verbose=False,
                optimize=True,
            )
        except Exception as error:  # the exporter lets through whatever happens below it
            raise _failure(error, label) from error
    assert program is not None
    model: onnx_ir.Model = program.model
    _check_opset(model, opset)
    _check_dimensions(model, shapes)
    return model


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
    onnx_ir.save(
        model, path, external_data=beside, size_threshold_bytes=0 if external_data else 1024
    )
    return (beside,) if beside and (path.parent / beside).exists() else ()


def _strip(model: onnx_ir.Model) -> None:
    model.doc_string = None
    model.metadata_props.clear()
    functions = list(model.functions.values())
    noted: list[Any] = [model.graph, *functions]
    for graph in (model.graph, *(function.graph for function in functions)):
        noted += [graph, *graph.inputs, *graph.initializers.values()]
        for node in onnx_ir.traversal.RecursiveGraphIterator(graph):
            noted += [node, *node.outputs]
    for value in model.graph.initializers.values():
        if value.const_value is not None:
            noted.append(value.const_value)
    for thing in noted:
        thing.doc_string = None
        thing.metadata_props.clear()


def _check_opset(model: onnx_ir.Model, opset: int) -> None:
    got = model.opset_imports.get("", 0)
    if got != opset:
        raise OpsetUnavailable(asked=opset, got=got)


def _check_dimensions(model: onnx_ir.Model, shapes: Mapping[str, tuple[int | Dim, ...]]) -> None:
    """Compare the dimensions that came out with those asked for, names included."""
    found = {value.name: value for value in model.graph.inputs}
    for name, shape in shapes.items():
        value = found.get(name)
        if value is None or value.shape is None:
            # An input that the module never reads is dropped by the exporter.
            raise DimensionLost(tensor=name, axis=0, asked="an input", got="nothing: it is unused")
        for axis, dim in enumerate(shape):
            got = value.shape[axis]
            text = str(got) if isinstance(got, int) else str(got.value)
            if text != (dim.name if isinstance(dim, Dim) else str(dim)):
                raise DimensionLost(tensor=name, axis=axis, asked=str(dim), got=text)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep the exporter's remarks about itself out of the user's sight."""
    noisy = logging.getLogger("torch.onnx")
    level = noisy.level
    noisy.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        noisy.setLevel(level)


def _failure(error: BaseException, label: str) -> Exception:
    """Find the first cause, and the line of the user's code that torch blames."""
    report = "".join(traceback.format_exception(error))
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    frames = [
        (file, line)
        for file, line in _FRAME.findall(str(cause) + report)
        if "site-packages" not in file
        and "/lib/python" not in file
        and not file.startswith("<")
        and "/exporters/" not in file
        and "/edgekit/" not in file
    ]
    where = ":".join(frames[-1]) if frames else ""
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    problem = " ".join(lines[:2])[:400] or type(cause).__name__
    return ExportFailed(
        target=label,
        problem=f"{type(cause).__name__}: {problem}",
        where=where,
        report=cache.store_report("export", report),
    )
