"""A saved .pt2: a program that torch.export captured, with its example inputs and dynamic sizes.

What is trusted: torch makes the graph again out of the file's text, and looks up by name the
operators that it calls. Whatever in the file is pickled could run any code while it is read, and
torch.export.load would let it; a file with pickled objects is therefore refused before that.
"""

from __future__ import annotations

import dataclasses
import inspect
import io
import json
import logging
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from edgekit.errors import FactoryFailed, NotFound, UnknownName
from edgekit.user_code import in_one_line
from exporters.exportable import Exportable
from exporters.requests import TargetRequest

BATCH = "batch"
_INPUT = "placeholder"


def make(request: TargetRequest) -> tuple[Exportable, str]:
    """Load a program; its examples, dynamic sizes and their ranges are those it was captured with.

    A size that is the first of every input that has it, and the only such one, is called `batch`;
    the file doesn't hold the names that the others once had, so they have torch's.

    Raises:
        NotFound: no such file.
        FactoryFailed: it can't be read, holds pickled objects or no example inputs, or a size of an
            input is computed from others.
        UnknownName: a parameter, which no program takes.
    """
    path = Path(request.folder) / request.target
    if not path.is_file():
        raise NotFound(path=str(path), expected="a .pt2 file of torch.export.save")
    for name in request.parameters:
        raise UnknownName(kind="parameter", of=f"of {request.target}", asked=name, available=[])
    _refuse_pickled(path, request.target)
    program = _loaded(path, request.target)
    if program.example_inputs is None:
        raise FactoryFailed(
            target=request.target,
            problem="holds no example inputs; save the program together with them",
        )
    args, kwargs = program.example_inputs
    module = program.module()
    if kwargs:
        # A program takes by position what it was captured with so.
        names = list(inspect.signature(module.forward).parameters)[: len(args)]
        example: Any = {**dict(zip(names, args, strict=True)), **kwargs}
    else:
        example = tuple(args)
    exportable = Exportable(module, example, positional=len(args) if kwargs else 0)
    shapes = _shapes(program, list(exportable.inputs()), request.target)
    dynamic = _dynamic(program, shapes)
    return dataclasses.replace(exportable, dynamic=dynamic), path.stem


def _refuse_pickled(path: Path, target: str) -> None:
    """Refuse what torch would unpickle with no regard to what it is."""
    try:
        with zipfile.ZipFile(path) as archive:
            pickled = list(_pickled(archive))
    except (zipfile.BadZipFile, ValueError, OSError, KeyError) as error:
        raise _unreadable(target, error) from error
    if pickled:
        raise FactoryFailed(
            target=target,
            problem=f"holds pickled objects ({', '.join(pickled[:3])}), which may run any code "
            "when they are read. If you trust it, write a file.py:factory that loads it with "
            "torch.export.load and returns program.module()",
        )


def _pickled(archive: zipfile.ZipFile) -> Iterator[str]:
    for entry in archive.namelist():
        folder, _, file = entry.rpartition("/")
        if file.endswith("_config.json") and folder.endswith(("data/weights", "data/constants")):
            for name, payload in json.loads(archive.read(entry))["config"].items():
                if payload.get("use_pickle", True):
                    yield name
        elif folder.endswith("data/sample_inputs") and archive.getinfo(entry).file_size:
            try:
                torch.load(io.BytesIO(archive.read(entry)), weights_only=True)
            except Exception:  # torch.load raises what unpickling raises
                yield "example inputs"


def _loaded(path: Path, target: str) -> torch.export.ExportedProgram:
    told = logging.getLogger("torch.export")
    before = told.level
    try:
        told.setLevel(logging.CRITICAL)  # it logs a traceback, and then raises the error
        return torch.export.load(path)
    except Exception as error:  # damage shows itself wherever torch happens to stumble
        raise _unreadable(target, error) from error
    finally:
        told.setLevel(before)


def _unreadable(target: str, error: Exception) -> FactoryFailed:
    return FactoryFailed(
        target=target,
        problem="can't be read as a program of torch.export.save; it is damaged, of another kind, "
        f"or of another PyTorch than the {torch.__version__} here "
        f"({type(error).__name__}: {in_one_line(error)[:200]})",
    )


def _shapes(
    program: torch.export.ExportedProgram, names: list[str], target: str
) -> dict[str, list[str | None]]:
    """Read which axes of which inputs are dynamic, by torch's names for their sizes."""
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == _INPUT}
    shapes: dict[str, list[str | None]] = {}
    for name, placeholder in zip(names, program.graph_signature.user_inputs, strict=True):
        axes = [_size(size) for size in values[placeholder].shape]
        for axis in axes:
            if axis is not None and not axis.isidentifier():
                raise FactoryFailed(
                    target=target,
                    problem=f"has an input {name} with the size {axis}, computed from another "
                    "input's; capture it again with sizes that are names alone",
                )
        shapes[name] = axes
    return shapes


def _size(size: Any) -> str | None:
    return None if isinstance(size, int) else str(size)


def _dynamic(
    program: torch.export.ExportedProgram, shapes: Mapping[str, list[str | None]]
) -> dict[str, list[str | int | None]]:
    """Say the sizes as `Exportable.dynamic` does, with their ranges."""
    ranges = {str(symbol): limits for symbol, limits in program.range_constraints.items()}
    first = {axes[0] for axes in shapes.values() if axes and axes[0] is not None}
    inner = {axis for axes in shapes.values() for axis in axes[1:] if axis is not None}
    outermost = first - inner
    batch = outermost.pop() if len(outermost) == 1 else None

    def told(axis: str | None) -> str | None:
        if axis is None:
            return None
        name = BATCH if axis == batch else axis
        limits = ranges.get(axis)
        if limits is None:
            return name
        high = int(limits.upper) if limits.upper.is_Integer else None
        return f"{name}:{max(1, int(limits.lower))}..{'' if high is None else high}"

    return {name: [told(axis) for axis in axes] for name, axes in shapes.items()}
