"""fp16: every node that can computes in 16 bits, what goes in and comes out stays float32.

Half the size, and on a GPU that has units for it a multiple of the speed; a CPU mostly computes
in float32 all the same, with casts around. fp16 (IEEE 754, binary16) has 11 bits of precision and
ends at 65504: what was measured to go further stays in float32 (see `edgekit.quantize.ranges`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from edgekit.errors import BadValue
from edgekit.graph.summary import precision_of
from edgekit.package.values import Recipe
from edgekit.quantize import files
from edgekit.quantize.elements import label, read_typed
from edgekit.quantize.halving import halve
from edgekit.quantize.limits import kept_for_their_values, known_nodes
from edgekit.quantize.ranges import measure_ranges
from edgekit.quantize.rounding import write_stand_in
from edgekit.quantize.scheme import Made, SchemeInfo, Work, Write


class Conversion(msgspec.Struct, frozen=True):
    """What became of a model: nodes in fp16, casts that were added, nodes that stayed and why.

    `files` names the external data beside the new model.
    """

    nodes: tuple[str, ...]
    casts: int
    kept: dict[str, str]
    files: tuple[str, ...]


def convert(
    model: Path, output: Path, *, keep_float: Mapping[str, str] | None = None
) -> Conversion:
    """Write a float32 model as an fp16 one with the same inputs and outputs.

    Which nodes can is read off ONNX's own definitions (`edgekit.quantize.elements`). Branches and
    loops stay in float32, and so do operators that ONNX doesn't define.

    Args:
        model: the .onnx file, external data beside it.
        output: where the new one goes; external data beside it where `model` has some, or where it
            would be too large.
        keep_float: nodes that stay in float32, by name, and why. A node without a name is called
            by its operator and first output ("Add:sum").

    Raises:
        BadValue: the model isn't float32, or none of its nodes can compute in fp16.
        UnknownName: there is no such node.
        NotFound, ModelFileError, MissingExtra: the model can't be read.
    """
    precision = precision_of(model)
    if precision != "fp32":
        raise BadValue(
            what="a model to make fp16", asked=f"{model}, which is {precision}", expected="float32"
        )
    typed = read_typed(model)
    known_nodes(typed, keep_float or {}, path=model)
    outside = files.load_weights(typed, model)
    halved = halve(typed, keep_float=keep_float or {})
    if not halved.nodes:
        first = next((f" ({node}: {why})" for node, why in halved.kept.items()), "")
        raise BadValue(
            what="a model to make fp16",
            asked=str(model),
            expected=f"one with nodes that may compute in fp16; here none may{first}",
        )
    beside = files.save(typed, output, external_data=outside)
    return Conversion(halved.nodes, halved.casts, halved.kept, beside)


def prepare(work: Work) -> Write:
    """Measure what each node's values are; the writer converts all those that fp16 can hold."""
    typed = read_typed(work.model)
    ranges = measure_ranges(
        work.model, work.feeds(), scratch=work.scratch, wall_s=work.wall_s, progress=work.progress
    )
    files.load_weights(typed, work.model)
    unfit = kept_for_their_values(typed, ranges)
    order = [label(node) for node in typed.graph.node]

    def write(output: Path, keep_float: Collection[str]) -> Made:
        keep = {**unfit, **dict.fromkeys(keep_float, "asked for")}
        done = convert(work.model, output, keep_float=keep)
        stand_in = output.with_name(f"{output.stem}.rounded.onnx")
        return Made(
            recipe=Recipe("fp16", keep_float=tuple(name for name in order if name in keep)),
            files=done.files,
            nodes=done.nodes,
            kept=done.kept,
            cases=ranges.cases,
            stand_in=stand_in if write_stand_in(output, stand_in) else None,
        )

    return write


SCHEME = SchemeInfo(
    name="fp16",
    precision="fp16",
    target="cuda",
    summary="16-bit floats: half the size, and faster where the hardware computes in them",
    where="It pays on GPUs; a CPU computes most of it in float32 all the same, with casts around.",
    prepare=prepare,
)
