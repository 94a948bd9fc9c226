"""The dynamo exporter: captures a module as a graph over symbolic sizes, and writes it as ONNX."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import onnx_ir
import torch

from edgekit.tensors import Dim
from exporters.explain import failure
from exporters.original import Original
from exporters.strategies.conditions import check_dimensions
from exporters.strategies.decompositions import TABLE
from exporters.strategies.ranges import Converted, check_ranges, sizes_in_doubt, symbols_of

Program = torch.onnx.ONNXProgram | None
Way = Callable[..., Program]
"""Exports an original by an example, with torch's own description of what is dynamic."""


def captured(
    way: Way,
    original: Original,
    example: Mapping[str, torch.Tensor],
    *,
    shapes: Mapping[str, tuple[int | Dim, ...]],
    opset: int,
    label: str,
) -> Converted:
    """Export in one of the ways below, and hold what came out against the shapes asked for.

    Raises:
        ExportFailed: torch could not export the module, or not for the whole of a range.
        DimensionLost: a dimension became static.
    """
    with _quiet_exporter():
        try:
            dynamic = _dynamic_shapes(original, shapes)
            program = way(original, example, dynamic=dynamic, opset=opset)
        except Exception as error:  # the exporter lets through whatever happens below it
            raise failure(error, label) from error
    assert program is not None
    assert program.exported_program is not None
    model: onnx_ir.Model = program.model
    check_dimensions(model, shapes, label)
    symbols = symbols_of(program.exported_program, model, shapes)
    check_ranges(program.exported_program, symbols, label)
    return Converted(model, sizes_in_doubt(program.exported_program, symbols))


def dynamo(
    original: Original, example: Mapping[str, torch.Tensor], *, dynamic: Any, opset: int
) -> Program:
    """Export as torch does by itself: a non-strict capture, then a strict one where that fails.

    Around this capture alone torch keeps an LSTM or a GRU whole.
    """
    return _onnx_of(original.module, original, example, dynamic, opset)


def strict(
    original: Original, example: Mapping[str, torch.Tensor], *, dynamic: Any, opset: int
) -> Program:
    """Export after TorchDynamo has read the module's bytecode.

    It follows what a run with symbolic sizes trips over (containers that are filled on the way,
    generators), and refuses what it can't see through instead of freezing it.
    """
    program = _program(original, example, dynamic, strict=True)
    return _onnx_of(program, original, example, dynamic, opset)


def deferred(
    original: Original, example: Mapping[str, torch.Tensor], *, dynamic: Any, opset: int
) -> Program:
    """Export with conditions over sizes noted, where a capture would narrow the range.

    Those that fail at some size are found in the notes and tried (`ranges.sizes_in_doubt`).
    """
    program = _program(original, example, dynamic, deferred=True)
    return _onnx_of(program, original, example, dynamic, opset)


def decomposed(
    original: Original, example: Mapping[str, torch.Tensor], *, dynamic: Any, opset: int
) -> Program:
    """Export with a few operators taken apart, and the graph left as it comes.

    For operators whose translation as a whole is missing, narrow or wrong (`decompositions`), and
    where the exporter's own optimizer goes wrong. ONNX Runtime optimizes anyway.
    """
    program = _program(original, example, dynamic).run_decompositions(TABLE)
    return _onnx_of(program, original, example, dynamic, opset, optimize=False)


def _program(
    original: Original,
    example: Mapping[str, torch.Tensor],
    dynamic: Any,
    *,
    strict: bool = False,
    deferred: bool = False,
) -> torch.export.ExportedProgram:
    args, kwargs = original.arguments(example)
    return torch.export.export(
        original.module,
        args,
        kwargs=kwargs or None,
        dynamic_shapes=dynamic,
        strict=strict,
        prefer_deferred_runtime_asserts_over_guards=deferred,
    )


def _onnx_of(
    source: torch.nn.Module | torch.export.ExportedProgram,
    original: Original,
    example: Mapping[str, torch.Tensor],
    dynamic: Any,
    opset: int,
    *,
    optimize: bool = True,
) -> Program:
    args, kwargs = original.arguments(example)
    return torch.onnx.export(
        source,
        args,
        kwargs=kwargs or None,
        dynamo=True,
        # Of a program, which has shapes already, it takes the names alone.
        dynamic_shapes=dynamic,
        opset_version=opset,
        input_names=original.input_names,
        output_names=original.output_names,
        verbose=False,
        optimize=optimize,
    )


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
    per_input = {
        name: {axis: dims[d.name] for axis, d in enumerate(shapes[name]) if isinstance(d, Dim)}
        for name in original.input_names
    }
    return original.in_form(per_input)


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
