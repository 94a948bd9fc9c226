"""Nodes that compute what must not be rounded: large angles, and whole numbers.

fp16's steps are 2^-7 from 8 on, too coarse for an angle, and it holds every whole number up to 2048
alone; bf16's are that from 1 on, and it counts to 256. A size, a position or a place in a table
becomes another in them. What leads to such a number stays in float32 with it:

    Shape ─▶ Cast(float) ─▶ Mul ─▶ Floor ─▶ Cast(int64) ─▶ Resize       float32 up to the last Cast
"""

from __future__ import annotations

from typing import Any

from onnx import TensorProto

from edgekit.quantize.elements import FLOAT, label, role_of, schema_of
from edgekit.quantize.floats.formats import FP16, Format
from edgekit.quantize.floats.halving import MOVES
from edgekit.quantize.floats.ranges import Ranges

_ANGLES = frozenset({"Cos", "Sin", "Tan"})
_COMPARISONS = frozenset({"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
_COUNTS = frozenset(
    {TensorProto.INT16, TensorProto.INT32, TensorProto.INT64}
    | {TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64}
)
"""Whole numbers that may be sizes or positions; with 8 bits they are pixels, or fit."""

_ARITHMETIC = MOVES | {
    *("Abs", "Add", "Cast", "Ceil", "Clip", "Div", "Floor", "Log", "Max", "Min", "Mod", "Mul"),
    *("Neg", "Pow", "Reciprocal", "Round", "Sqrt", "Sub"),
}
"""What is done to sizes and positions on the way to others."""


def kept_exact(
    model: Any, types: dict[str, int], ranges: Ranges, *, to: Format = FP16
) -> dict[str, str]:
    """Name the nodes that must stay in float32 for this, by label, and say why.

    Args:
        model: what `elements.read_typed` gave.
        types: the element type of every value.
        ranges: what was measured of it.
        to: the format that the others are to compute in.
    """
    graph = model.graph
    made_by = {name: node for node in graph.node for name in node.output}
    counted = _counted(graph, types)
    counts = f"{to.name} counts to {to.counts_to}"
    found: dict[str, str] = {}

    def keep(names: list[str], why: str) -> None:
        """Keep what makes these values, and what makes what goes into that."""
        waiting = list(names)
        while waiting:
            source = made_by.get(waiting.pop())
            if source is None or label(source) in found:
                continue
            if any(types.get(name) == FLOAT for name in (*source.input, *source.output)):
                found[label(source)] = why
                waiting += [name for name in source.input if types.get(name) == FLOAT]

    for node in graph.node:
        first = node.input[0] if node.input else ""
        largest = ranges.largest.get(first, 0.0)
        wholes = types.get(first) == FLOAT and _to_whole_numbers(node, types)
        numbers = sorted(counted.intersection(node.input))
        if node.op_type in _ANGLES and largest > to.widest_angle:
            found[label(node)] = f"its angles reach {largest:.3g}, where {to.name} is too coarse"
            keep([first], f"it makes the angles of {label(node)}, which reach {largest:.3g}")
        elif wholes and largest > to.counts_to:
            found[label(node)] = f"its whole numbers reach {largest:.0f}, and {counts}"
            keep([first], f"it makes the whole numbers of {label(node)}, up to {largest:.0f}")
        elif numbers and (wholes or node.op_type in _COMPARISONS):
            found[label(node)] = f"it takes sizes or positions, and {counts}"
            keep(numbers, f"it makes sizes or positions for {label(node)}")
        elif numbers:
            half = role_of(node, schema_of(model, node), types, to=to).inputs
            rest = [name for i, name in enumerate(node.input) if name in counted and i not in half]
            keep(rest, f"it makes sizes or positions for {label(node)}")
    return found


def _counted(graph: Any, types: dict[str, int]) -> set[str]:
    """Name the float32 values that are computed of whole numbers and weights alone."""
    weights = {tensor.name for tensor in graph.initializer}
    found: set[str] = set()
    for node in graph.node:
        if node.op_type not in _ARITHMETIC:
            continue
        if node.op_type == "Cast" and types.get(node.input[0]) in _COUNTS:
            counts = True
        else:
            floats = {name for name in node.input if types.get(name) == FLOAT}
            counts = bool(floats & found) and floats <= found | weights
        if counts:
            found |= {name for name in node.output if types.get(name) == FLOAT}
    return found


def _to_whole_numbers(node: Any, types: dict[str, int]) -> bool:
    return node.op_type == "Cast" and types.get(node.output[0]) in _COUNTS
