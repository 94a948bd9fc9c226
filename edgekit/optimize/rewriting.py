"""From one file to another through passes; the first is only read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from edgekit.optimize import graphs
from edgekit.optimize.pass_info import PassInfo, find
from edgekit.optimize.passes.sizes import fixing
from edgekit.terms import Pass, members


class Step(msgspec.Struct, frozen=True):
    """What a pass did: the graph's nodes before and after; not `changed` where nothing fitted."""

    name: Pass
    changed: bool
    nodes_before: int
    nodes_after: int


class Rewritten(msgspec.Struct, frozen=True):
    """A file that was written: what lies beside it, and what each pass did."""

    files: tuple[str, ...]
    steps: tuple[Step, ...]


def rewrite(
    model: Path,
    output: Path,
    *,
    passes: Sequence[Pass] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Rewritten:
    """Write a model again as passes leave it.

    Inputs and outputs keep their names and types, the model its operator set and metadata.

    Args:
        model: the .onnx file, external data beside it.
        output: the new file; weights that are too large for it lie beside it.
        passes: their names, in the order in which they are applied; all of them unless given.
        sizes: dimensions to fix, by name, before anything else.

    Raises:
        UnknownName: there is no such pass.
        BadValue: `sizes` names what is no dynamic dimension.
        NotFound, ModelFileError: the model can't be read, or ONNX Runtime refuses it.
        MissingExtra: `onnx` or `onnx-ir` is not installed.
    """
    names = members(Pass) if passes is None else passes
    infos = [find(name) for name in names if name != "sizes"]
    if sizes:
        infos.insert(0, fixing(sizes))
    changed = graphs.read(model)
    steps = []
    for info in infos:
        changed, step = _applied(info, changed)
        steps.append(step)
    return Rewritten(graphs.save(changed, output), tuple(steps))


def _applied(info: PassInfo, model: graphs.Model) -> tuple[graphs.Model, Step]:
    before = len(model.graph)
    found = info.apply(model)
    if found is None:
        return model, Step(info.name, False, before, before)
    graphs.tidy(found)
    graphs.infer_shapes(found)
    return found, Step(info.name, True, before, len(found.graph))
