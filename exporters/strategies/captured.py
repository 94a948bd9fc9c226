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

_Shapes = Mapping[str, tuple[int | Dim, ...]]


def dynamo(
    original: Original,
    example: Mapping[str, torch.Tensor],
    shapes: _Shapes,
    *,
    opset: int,
    label: str,
) -> Converted:
    """Export as torch does by itself: a non-strict capture, then a strict one where that fails.

    Around this capture alone torch keeps an LSTM or a GRU whole.

    Raises:
        ExportFailed: torch could not export the module, or not for the whole of a range.
    """

    def run(dynamic: Any) -> torch.onnx.ONNXProgram | None:
        args, kwargs = original.arguments(example)
        return torch.onnx.export(
            original.module,
            args,
            kwargs=kwargs or None,
            dynamo=True,
            dynamic_shapes=dynamic,
            opset_version=opset,
            input_names=original.input_names,
            output_names=original.output_names,
            verbose=False,
            optimize=True,
        )

    return _converted(run, original, shapes, label)


def strict(
    original: Original,
    example: Mapping[str, torch.Tensor],
    shapes: _Shapes,
    *,
    opset: int,
    label: str,
) -> Converted:
    """Export after TorchDynamo has read the module's bytecode.

    It follows what a run with symbolic sizes trips over (containers that are filled on the way,
    generators), and refuses what it can't see through instead of freezing it.

    Raises:
        ExportFailed: torch could not export the module, or not for the whole of a range.
    """

    def run(dynamic: Any) -> torch.onnx.ONNXProgram | None:
        program = _program(original, example, dynamic, strict=True)
        return _of_program(program, original, example, dynamic, opset)

    return _converted(run, original, shapes, label)


def deferred(
    original: Original,
    example: Mapping[str, torch.Tensor],
    shapes: _Shapes,
    *,
    opset: int,
    label: str,
) -> Converted:
    """Export with conditions over sizes noted, where a capture would narrow the range.

    Those that fail at some size are found in the notes and tried (`ranges.sizes_in_doubt`).

    Raises:
        ExportFailed: torch could not export the module, or not for the whole of a range.
    """

    def run(dynamic: Any) -> torch.onnx.ONNXProgram | None:
        program = _program(original, example, dynamic, deferred=True)
        return _of_program(program, original, example, dynamic, opset)

    return _converted(run, original, shapes, label)


def decomposed(
    original: Original,
    example: Mapping[str, torch.Tensor],
    shapes: _Shapes,
    *,
    opset: int,
    label: str,
) -> Converted:
    """Export with a few operators taken apart, and the graph left as it comes.

    For operators whose translation as a whole is missing, narrow or wrong (`decompositions`), and
    where the exporter's own optimizer goes wrong. ONNX Runtime optimizes anyway.

    Raises:
        ExportFailed: torch could not export the module, or not for the whole of a range.
    """

    def run(dynamic: Any) -> torch.onnx.ONNXProgram | None:
        program = _program(original, example, dynamic).run_decompositions(TABLE)
        return _of_program(program, original, example, dynamic, opset, optimize=False)

    return _converted(run, original, shapes, label)


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


def _of_program(
    program: torch.export.ExportedProgram,
    original: Original,
    example: Mapping[str, torch.Tensor],
    dynamic: Any,
    opset: int,
    *,
    optimize: bool = True,
) -> torch.onnx.ONNXProgram | None:
    args, kwargs = original.arguments(example)
    return torch.onnx.export(
        program,
        args,
        kwargs=kwargs or None,
        dynamo=True,
        # Of a program it takes the names alone.
        dynamic_shapes=dynamic,
        opset_version=opset,
        input_names=original.input_names,
        output_names=original.output_names,
        verbose=False,
        optimize=optimize,
    )


def _converted(
    run: Callable[[Any], torch.onnx.ONNXProgram | None],
    original: Original,
    shapes: _Shapes,
    label: str,
) -> Converted:
    with _quiet_exporter():
        try:
            program = run(_dynamic_shapes(original, shapes))
        except Exception as error:  # the exporter lets through whatever happens below it
            raise failure(error, label) from error
    assert program is not None
    assert program.exported_program is not None
    model: onnx_ir.Model = program.model
    check_dimensions(model, shapes, label)
    symbols = symbols_of(program.exported_program, model, shapes)
    check_ranges(program.exported_program, symbols, label)
    return Converted(model, sizes_in_doubt(program.exported_program, symbols))


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
