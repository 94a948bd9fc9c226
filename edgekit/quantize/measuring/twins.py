"""Put what a quantized model makes of a value beside the float model, fed with the float values."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import onnx
import onnx.version_converter

from edgekit.errors import ModelFileError, UnknownName
from edgekit.quantize.elements import captured
from edgekit.quantize.measuring.probing import Probe

_ONNX = ("", "ai.onnx")


def adopt_twins(
    probe: Probe, typed: Any, twin: Any, *, values: Collection[str], path: Path
) -> dict[str, str]:
    """Copy into a probe what the twin makes `values` of, fed with the float model's values.

    Args:
        probe: that of the float model.
        typed: the float model.
        twin: the quantized one; what has the same name in both is the same value.
        values: names of values of both.
        path: the twin's file, for errors.

    Returns:
        The copy's name by the value; without those that are made of something that the float model
        doesn't have, or inside of a branch or loop.

    Raises:
        UnknownName: the twin doesn't make one of the values.
    """
    floats = {value.name for value in typed.graph.input}
    floats |= {name for node in typed.graph.node for name in node.output}
    floats -= {tensor.name for tensor in typed.graph.initializer}
    made_by = {name: node for node in twin.graph.node for name in node.output if name}
    tensors = {tensor.name: tensor for tensor in twin.graph.initializer}
    copied: set[int] = set()
    names: dict[str, str] = {}
    found = {}
    for value in dict.fromkeys(values):
        if value not in made_by:
            available = sorted(made_by)
            raise UnknownName(kind="value", asked=value, available=available, of=f"in {path.name}")
        nodes = _nodes_behind(value, made_by, stop={*floats, *tensors})
        made = {name for node in nodes for name in node.output if name}
        read = {name for node in nodes for name in node.input if name}
        if read - made - floats - tensors.keys() or any(captured(node) for node in nodes):
            continue
        copied.update(map(id, nodes))
        for name in sorted(made | read & tensors.keys()):
            names.setdefault(name, probe.fresh(f"{name}_twin"))
        found[value] = names[value]
    graph = onnx.GraphProto()
    for node in twin.graph.node:
        if id(node) in copied:
            copy = graph.node.add()
            copy.CopyFrom(node)
            copy.name = ""
            for place, name in enumerate(node.input):
                if name not in floats or name in tensors:
                    copy.input[place] = names.get(name, name)
            for place, name in enumerate(node.output):
                copy.output[place] = names.get(name, name)
    for name in filter(names.__contains__, tensors):
        copy = graph.initializer.add()
        copy.CopyFrom(tensors[name])
        copy.name = names[name]
    probe.adopt(graph, twin.opset_import)
    return found


def _nodes_behind(value: str, made_by: dict[str, Any], *, stop: set[str]) -> list[Any]:
    """List the nodes that a value is made by, as far back as the names to stop at."""
    nodes = [made_by[value]]
    reached = set(made_by[value].output)
    for node in nodes:  # the list grows while it is walked through
        for name in node.input:
            if name in made_by and name not in stop and name not in reached:
                reached.update(made_by[name].output)
                nodes.append(made_by[name])
    return nodes


def at_opset_of(twin: Any, typed: Any, *, path: Path) -> Any:
    """Return the float model in the version of ONNX that the twin is written in.

    Raises:
        ModelFileError: it can't be.
    """
    asked, there = (
        next((o.version for o in one.opset_import if o.domain in _ONNX), None)
        for one in (twin, typed)
    )
    if asked is None:
        return typed
    if asked == there:
        return typed
    try:
        loaded = onnx.version_converter.convert_version(typed, asked)
        return onnx.shape_inference.infer_shapes(loaded)
    except Exception as error:  # the converter's own share no base class but this one
        raise ModelFileError(path=str(path), problem=" ".join(str(error).split())) from error
