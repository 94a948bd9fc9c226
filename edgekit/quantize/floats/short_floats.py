"""Write a float32 model as one that computes in 16 bits, its inputs and outputs unchanged.

Which nodes can is read off ONNX's own definitions (`edgekit.quantize.elements`). Branches and
loops stay in float32, and so do operators that ONNX doesn't define, and what was measured to lead
where the format can't follow (`edgekit.quantize.floats.limits`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec

from edgekit.errors import BadValue
from edgekit.graph.summary import precision_of
from edgekit.package.values import Recipe
from edgekit.quantize import files
from edgekit.quantize.elements import label, read_typed
from edgekit.quantize.floats.formats import Format
from edgekit.quantize.floats.halving import halve
from edgekit.quantize.floats.limits import kept_for_their_values, known_nodes
from edgekit.quantize.floats.opsets import opset_of, raised_for
from edgekit.quantize.floats.ranges import measure_ranges
from edgekit.quantize.floats.rounding import write_stand_in
from edgekit.quantize.scheme import Made, Work, Write


class Conversion(msgspec.Struct, frozen=True):
    """What became of a model: nodes in 16 bits, casts that were added, nodes that stayed and why.

    `files` names the external data beside the new model; `opset` is its opset.
    """

    nodes: tuple[str, ...]
    casts: int
    kept: dict[str, str]
    files: tuple[str, ...]
    opset: int


def convert(
    model: Path,
    output: Path,
    *,
    to: Format,
    keep_float: Mapping[str, str] | None = None,
    operators: Collection[str] = (),
    highest_opset: int = 0,
) -> Conversion:
    """Write a float32 model as one of 16 bits with the same inputs and outputs.

    Args:
        model: the .onnx file, external data beside it.
        output: where the new one goes; external data beside it where `model` has some, or where it
            would be too large.
        to: the format.
        keep_float: nodes that stay in float32, by name, and why. A node without a name is called
            by its operator and first output ("Add:sum").
        operators: those for which the opset may be raised; all where it is empty.
        highest_opset: how far the model's opset may be raised for more nodes in 16 bits.

    Raises:
        BadValue: the model isn't float32, or none of its nodes can compute in 16 bits.
        UnknownName: there is no such node.
        NotFound, ModelFileError, MissingExtra: the model can't be read.
    """
    what = f"a model to make {to.name}"
    precision = precision_of(model)
    if precision != "fp32":
        raise BadValue(what=what, asked=f"{model}, which is {precision}", expected="float32")
    typed = _read(model, to, operators, highest_opset)
    known_nodes(typed, keep_float or {}, path=model)
    outside = files.load_weights(typed, model)
    halved = halve(typed, keep_float=keep_float or {}, to=to)
    if not halved.nodes:
        first = next((f" ({node}: {why})" for node, why in halved.kept.items()), "")
        raise BadValue(
            what=what,
            asked=str(model),
            expected=f"one with nodes that may compute in {to.name}; here none may{first}",
        )
    beside = files.save(typed, output, external_data=outside)
    return Conversion(halved.nodes, halved.casts, halved.kept, beside, opset_of(typed))


def preparing(to: Format, *, highest_opset: int = 0) -> Callable[[Work], Write]:
    """Make the first step of a scheme: measure what each node's values are.

    The writer converts all nodes whose values the format can hold, and for which the target has
    kernels if its rules name those that it has.

    Args:
        to: the format.
        highest_opset: how far the model's opset may be raised for more nodes in 16 bits.
    """

    def prepare(work: Work) -> Write:
        return _prepare(work, to, highest_opset)

    return prepare


def _prepare(work: Work, to: Format, highest_opset: int) -> Write:
    ranges = measure_ranges(
        work.model, work.feeds(), scratch=work.scratch, wall_s=work.wall_s, progress=work.progress
    )
    operators = work.rules.operators
    typed = _read(work.model, to, operators, highest_opset)
    files.load_weights(typed, work.model)
    unfit = kept_for_their_values(typed, ranges, to=to)
    order = [label(node) for node in typed.graph.node]
    without = {
        label(node): f"{work.target.provider} has no kernel for {node.op_type} in {to.name}"
        for node in typed.graph.node
        if operators and node.op_type not in operators
    }
    now, before = opset_of(typed), opset_of(read_typed(work.model))

    def write(output: Path, keep_float: Collection[str]) -> Made:
        keep = {**unfit, **dict.fromkeys(keep_float, "asked for")}
        done = convert(
            work.model,
            output,
            to=to,
            keep_float={**without, **keep},
            operators=operators,
            highest_opset=highest_opset,
        )
        stand_in = output.with_name(f"{output.stem}.rounded.onnx")
        return Made(
            recipe=Recipe(
                to.name,
                keep_float=tuple(name for name in order if name in keep),
                rules=work.rules if operators else None,
            ),
            files=done.files,
            nodes=done.nodes,
            kept=done.kept,
            cases=ranges.cases,
            stand_in=stand_in if write_stand_in(output, stand_in, of=to) else None,
            notes=(f"it is written in opset {now}, its parent in {before}",)
            if now > before
            else (),
        )

    return write


def _read(model: Path, to: Format, operators: Collection[str], highest_opset: int) -> Any:
    typed = read_typed(model)
    return raised_for(typed, to, operators=operators, highest=highest_opset)
