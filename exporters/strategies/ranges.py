"""For which sizes what was captured holds: ranges, and conditions that a capture only notes."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import onnx_ir
import torch

from edgekit.errors import ExportFailed
from edgekit.tensors import Dim

_SMALL = 33
_COMBINATIONS = 2_000


class Converted(NamedTuple):
    """A model, and sizes at which it may not be the module's: they must be tried."""

    model: onnx_ir.Model
    doubtful: tuple[dict[str, int], ...] = ()


def symbols_of(
    program: torch.export.ExportedProgram,
    model: onnx_ir.Model,
    shapes: Mapping[str, tuple[int | Dim, ...]],
) -> dict[Any, Dim]:
    """Name the dimension that each of the capture's symbols stands for."""
    nodes = {node.name: node for node in program.graph.nodes}
    symbols = {}
    inputs = zip(model.graph.inputs, program.graph_signature.user_inputs, strict=True)
    for value, node_name in inputs:
        if value.name is None or not isinstance(node_name, str):
            continue
        traced = nodes[node_name].meta["val"].shape
        for dim, size in zip(shapes[value.name], traced, strict=True):
            if isinstance(dim, Dim) and not isinstance(size, int):
                symbols[size.node.expr] = dim
    return symbols


def check_ranges(
    program: torch.export.ExportedProgram, symbols: Mapping[Any, Dim], label: str
) -> None:
    """Compare the ranges that what was exported holds for with those asked for.

    Where the module's code takes one way up to a size and another beyond, torch exports the way
    that the example took and narrows the range, without a word.

    Raises:
        ExportFailed: a range is narrower than asked.
    """
    for symbol, dim in symbols.items():
        held = program.range_constraints.get(symbol)
        if held is None:
            continue
        # torch's own infinity is larger than every size and is no whole number.
        high = int(held.upper) if held.upper < sys.maxsize else None
        low = max(int(held.lower), dim.low)
        if low > dim.low or (high is not None and (dim.high is None or high < dim.high)):
            raise ExportFailed(
                target=label,
                problem=f"its code takes another way outside {Dim(dim.name, low, high)}, and "
                f"{dim} was asked for",
                workaround="Ask for that range, or make the code the same at every size.",
            )


def sizes_in_doubt(
    program: torch.export.ExportedProgram, symbols: Mapping[Any, Dim]
) -> tuple[dict[str, int], ...]:
    """Find sizes for which a condition fails that the capture took for granted.

    `if x.shape[0] == 5` narrows no range: torch notes that the size is not 5, to be asserted at
    run time, and ONNX has no assertions. The condition may be harmless, so the sizes are tried.
    """
    found: dict[tuple[tuple[str, int], ...], None] = {}
    for condition in _conditions(program):
        used = [symbol for symbol in symbols if symbol in condition.free_symbols]
        if not used or condition.free_symbols - set(used):
            continue  # about values, which no input's shape decides
        numbers = [int(number) for number in condition.atoms() if number.is_Integer]
        candidates = [list(_candidates(symbols[symbol], numbers)) for symbol in used]
        tried = itertools.islice(itertools.product(*candidates), _COMBINATIONS)
        for sizes in tried:
            if condition.subs(dict(zip(used, sizes, strict=True))) == False:  # noqa: E712  # sympy's
                names = (symbols[symbol].name for symbol in used)
                found[tuple(zip(names, sizes, strict=True))] = None
                break
    return tuple(dict(sizes) for sizes in found)


def _conditions(program: torch.export.ExportedProgram) -> Iterator[Any]:
    for node in program.graph.nodes:
        for size in getattr(node.meta.get("val"), "shape", ()):
            if isinstance(size, torch.SymInt):
                noted = size.node.shape_env.deferred_runtime_asserts
                return (entry.expr for entries in noted.values() for entry in entries)
    return iter(())


def _candidates(dim: Dim, numbers: list[int]) -> Iterator[int]:
    """List sizes that a condition over these numbers may fail at, small ones first."""
    near = {multiple * abs(n) + step for n in numbers for multiple in (1, 2) for step in (-1, 0, 1)}
    wanted = sorted({*range(dim.low, dim.low + _SMALL), *near, *([dim.high] if dim.high else [])})
    return (size for size in wanted if dim.low <= size <= (dim.high or size))
