"""The ways to turn a module into ONNX. Each runs in a worker of its own: an export can poison the
next one in the same process.
"""

from __future__ import annotations

import logging
import sys
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
from exporters.blame import first_cause, users_line
from exporters.original import Original

EXTERNAL_DATA_BYTES = 1_900_000_000
"""Above this a model's weights lie beside it: a protobuf message stops at 2 GB."""
SMALL_BYTES = 1024
"""What never lies beside it: ONNX Runtime reads shapes and axes out of the model alone."""


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
        ExportFailed: torch could not export the module, or not for the whole of a range.
        DimensionLost: a dimension became static.
        OpsetUnavailable: torch gave another opset.
    """
    args, kwargs = original.arguments(example)
    with _quiet_exporter():
        try:
            program = torch.onnx.export(
                original.module,
                args,
                kwargs=kwargs or None,
                dynamo=True,
                opset_version=opset,
                dynamic_shapes=_dynamic_shapes(original, shapes),
                input_names=original.input_names,
                output_names=original.output_names,
                verbose=False,
                optimize=True,
            )
        except Exception as error:  # the exporter lets through whatever happens below it
            raise _failure(error, label) from error
    assert program is not None
    assert program.exported_program is not None
    model: onnx_ir.Model = program.model
    _check_opset(model, opset)
    _check_dimensions(model, shapes, label)
    _check_ranges(program.exported_program, model, shapes, label)
    return model


def _dynamic_shapes(original: Original, shapes: Mapping[str, tuple[int | Dim, ...]]) -> Any:
    """Say torch which axes are dynamic, in the form in which the module is called."""
    dims = {
        dim.name: torch.export.Dim(dim.name, min=dim.low, max=dim.high)
        for shape in shapes.values()
        for dim in shape
        if isinstance(dim, Dim)
    }
    if not dims:
        return None
    per_input = [
        {axis: dims[d.name] for axis, d in enumerate(shapes[name]) if isinstance(d, Dim)}
        for name in original.input_names
    ]
    if original.by_keyword:
        return dict(zip(original.keys, per_input, strict=True))
    return tuple(per_input)


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


def _check_opset(model: onnx_ir.Model, opset: int) -> None:
    got = model.opset_imports.get("", 0)
    if got != opset:
        raise OpsetUnavailable(asked=opset, got=got)


def _check_dimensions(
    model: onnx_ir.Model, shapes: Mapping[str, tuple[int | Dim, ...]], label: str
) -> None:
    """Compare the dimensions that came out with those asked for, names included."""
    asked_names = {dim.name for shape in shapes.values() for dim in shape if isinstance(dim, Dim)}
    found = {value.name: value for value in model.graph.inputs}
    for name, shape in shapes.items():
        value = found.get(name)
        if value is None or value.shape is None:
            raise ExportFailed(target=label, problem=f"torch left its input {name} out")
        for axis, dim in enumerate(shape):
            got = value.shape[axis]
            text = str(got) if isinstance(got, int) else str(got.value)
            if text == (dim.name if isinstance(dim, Dim) else str(dim)):
                continue
            if isinstance(dim, Dim) and text in asked_names:
                raise ExportFailed(
                    target=label,
                    problem=f"its code needs the dimensions {text} and {dim.name} to be equal; "
                    f"give axis {axis} of {name} the name {text} too",
                )
            raise DimensionLost(tensor=name, axis=axis, asked=str(dim), got=text)


def _check_ranges(
    program: torch.export.ExportedProgram,
    model: onnx_ir.Model,
    shapes: Mapping[str, tuple[int | Dim, ...]],
    label: str,
) -> None:
    """Compare the ranges that what was exported holds for with those asked for.

    Where the module's code takes one way up to a size and another beyond, torch exports the way
    that the example took and narrows the range, without a word.
    """
    nodes = {node.name: node for node in program.graph.nodes}
    for value, node_name in zip(
        model.graph.inputs, program.graph_signature.user_inputs, strict=True
    ):
        if value.name is None or not isinstance(node_name, str):
            continue
        traced = nodes[node_name].meta["val"].shape
        for dim, size in zip(shapes[value.name], traced, strict=True):
            held = None if isinstance(size, int) else program.range_constraints.get(size.node.expr)
            if not isinstance(dim, Dim) or held is None:
                continue
            # torch's own infinity is larger than every size and is no whole number.
            high = int(held.upper) if held.upper < sys.maxsize else None
            low = max(int(held.lower), dim.low)
            if low > dim.low or (high is not None and (dim.high is None or high < dim.high)):
                raise ExportFailed(
                    target=label,
                    problem=f"its code takes another way outside {Dim(dim.name, low, high)}, and "
                    f"{dim} was asked for; ask for that range, or make the code the same at every "
                    "size",
                )


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep the exporter's remarks about itself out of the user's sight."""
    noisy = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in noisy]
    for logger in noisy:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(noisy, levels, strict=True):
            logger.setLevel(level)


_CAUSES = {
    "GuardOnDataDependentSymNode": "its code decides by the value of a tensor, which an export "
    "can't follow; choose with torch.where, or with torch.cond",
}
"""What torch's exceptions mean, where their own words are for torch's developers."""


def _failure(error: BaseException, label: str) -> ExportFailed:
    """Find the first cause, and the line of the user's code that torch blames."""
    cause = first_cause(error)
    kind = type(cause).__name__
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    problem = f"{kind}: {' '.join(lines[:2])[:400]}" if lines else kind
    return ExportFailed(
        target=label,
        problem=_CAUSES.get(kind, problem),
        where=users_line(error),
        report=cache.store_report("export", "".join(traceback.format_exception(error))),
    )
