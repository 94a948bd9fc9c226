"""The dynamo exporter: captures a module as a graph over symbolic sizes, and writes it as ONNX."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import onnx_ir
import torch

from edgekit.errors import ExportFailed
from edgekit.tensors import Dim
from exporters.explain import failure
from exporters.original import Original
from exporters.strategies.conditions import check_dimensions
from exporters.strategies.decompositions import TABLE

_Shapes = Mapping[str, tuple[int | Dim, ...]]


def dynamo(
    original: Original,
    example: Mapping[str, torch.Tensor],
    shapes: _Shapes,
    *,
    opset: int,
    label: str,
) -> onnx_ir.Model:
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
) -> onnx_ir.Model:
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
) -> onnx_ir.Model:
    """Export with conditions over sizes left to run time, where a capture would narrow the range.

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
) -> onnx_ir.Model:
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
) -> onnx_ir.Model:
    with _quiet_exporter():
        try:
            program = run(_dynamic_shapes(original, shapes))
        except Exception as error:  # the exporter lets through whatever happens below it
            raise failure(error, label) from error
    assert program is not None
    assert program.exported_program is not None
    model: onnx_ir.Model = program.model
    check_dimensions(model, shapes, label)
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
    per_input = {
        name: {axis: dims[d.name] for axis, d in enumerate(shapes[name]) if isinstance(d, Dim)}
        for name in original.input_names
    }
    return original.in_form(per_input)


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
