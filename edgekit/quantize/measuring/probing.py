"""A copy of a model that answers nothing but what is asked about its values.

The answers are computed inside the graph and are small, so that memory doesn't grow with the
values, and nodes that lead to none of them are left out:

    v ─▶ Reshape(-1) ─▶ ReduceMin ─▶ lowest         v ─▶ Reshape(-1, channels) ─▶ Abs ─▶ ReduceMax
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgekit.errors import UnknownName
from edgekit.quantize.additions import Names
from edgekit.quantize.elements import FLOAT, captured, element_types
from edgekit.tensors import Array

_ONNX = ("", "ai.onnx")
_OPSET = 17
"""That of the probes of a model which has no operator of ONNX's own."""
_FIRST_IR = 4
"""The IR version from which on a weight need not be listed among the inputs."""
_AXES_ARE_INPUTS = {"ReduceSum": 13, "ReduceMax": 18, "ReduceMin": 18}
"""The opsets from which on an operator takes its axes as an input and not as an attribute."""


class Probe:
    """Collects questions about the values of a model, and writes the model that answers them.

    `model` is what `elements.read_typed` gave; it is only read.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._outputs: list[Any] = []
        self._made: dict[tuple[str, ...], str] = {}
        self._opsets = list(model.opset_import)
        self.fresh = Names(model.graph).fresh
        if not any(opset.domain in _ONNX for opset in self._opsets):
            self._opsets.append(helper.make_opsetid("", _OPSET))
        self._opset = next(o.version for o in self._opsets if o.domain in _ONNX)

    def flat(self, value: str) -> str:
        """Lay out a value in one dimension."""
        return self._once("Reshape", value, self.constant(np.array([-1], np.int64)))

    def rows(self, value: str, channels: int) -> str:
        """Lay out a value as [everything before its last axis, channels]."""
        return self._once("Reshape", value, self.constant(np.array([-1, channels], np.int64)))

    def planes(self, value: str, channels: int) -> str:
        """Lay out a value as [batch, channels, everything behind]."""
        return self._once("Reshape", value, self.constant(np.array([0, channels, -1], np.int64)))

    def reduced(self, operator: str, value: str, *axes: int) -> str:
        """Reduce a value over axes, which go."""
        if self._opset >= _AXES_ARE_INPUTS[operator]:
            inputs = [value, self.constant(np.array(axes, np.int64))]
            return self._append(operator, inputs, keepdims=0)
        return self._append(operator, [value], axes=list(axes), keepdims=0)

    def node(self, operator: str, *inputs: str) -> str:
        """Add a node without attributes and name its only output."""
        return self._append(operator, inputs)

    def constant(self, array: Array) -> str:
        """Add a constant; the same one twice is one."""
        key = (str(array.dtype), str(array.tolist()))
        if key not in self._made:
            self._made[key] = self.fresh("constant")
            self._constants.append(numpy_helper.from_array(array, self._made[key]))
        return self._made[key]

    def adopt(self, graph: Any, opsets: Iterable[Any]) -> None:
        """Take in the nodes, in order, and the initializers of another graph; their names are new.

        Its `opsets` are those of the model, or of domains that it doesn't have.
        """
        self._nodes.extend(graph.node)
        self._constants.extend(graph.initializer)
        known = {opset.domain for opset in self._opsets}
        self._opsets.extend(opset for opset in opsets if opset.domain not in known)

    def answer(self, value: str, *shape: int | str, dtype: int = TensorProto.FLOAT) -> str:
        """Make a value an answer, and say of what shape it is."""
        self._outputs.append(helper.make_tensor_value_info(value, dtype, list(shape)))
        return value

    def save(self, path: Path, *, beside: Collection[Path] = ()) -> list[Path]:
        """Write the model with copies of its external data beside it; return all the files."""
        graph = self._model.graph
        nodes = _leading_to({output.name for output in self._outputs}, [*graph.node, *self._nodes])
        used = {name for node in nodes for name in (*node.input, *captured(node))}
        used |= {output.name for output in self._outputs}
        made = onnx.ModelProto(ir_version=max(self._model.ir_version, _FIRST_IR))
        made.opset_import.extend(self._opsets)
        made.graph.name = graph.name or "probe"
        # A weight that is listed as an input as well, and not used here, would have to be given.
        weights = {tensor.name for tensor in graph.initializer}
        made.graph.input.extend(value for value in graph.input if value.name not in weights)
        made.graph.output.extend(self._outputs)
        made.graph.node.extend(nodes)
        made.graph.initializer.extend(t for t in graph.initializer if t.name in used)
        made.graph.initializer.extend(t for t in self._constants if t.name in used)
        made.graph.sparse_initializer.extend(
            t for t in graph.sparse_initializer if t.values.name in used
        )
        onnx.save(made, path)
        written = [path]
        for file in beside:
            # A copy: ONNX Runtime follows no symbolic link out of a folder, and while there is a
            # hard link `onnx` reads neither.
            copy = path.parent / file.name
            shutil.copyfile(file, copy)
            written.append(copy)
        return written

    def _append(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        output = self.fresh(f"{inputs[0]}_{operator}")
        self._nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def _once(self, operator: str, *inputs: str) -> str:
        key = (operator, *inputs)
        if key not in self._made:
            self._made[key] = self.node(operator, *inputs)
        return self._made[key]


def known_values(model: Any, values: Collection[str]) -> list[str]:
    """Return the asked values, each once, if all are float32 and of the main graph.

    Raises:
        UnknownName: one isn't.
    """
    graph = model.graph
    types = element_types(model)
    weights = {tensor.name for tensor in graph.initializer}
    there = [value.name for value in graph.input if value.name not in weights]
    there += [name for node in graph.node for name in node.output if name]
    floats = {name for name in there if types.get(name) == FLOAT}
    for name in values:
        if name not in floats:
            raise UnknownName(
                kind="float32 value", asked=name, available=sorted(floats), of="in the main graph"
            )
    return list(dict.fromkeys(values))


def _leading_to(wanted: set[str], nodes: list[Any]) -> list[Any]:
    """Keep the nodes that the wanted values are made of."""
    needed = set(wanted)
    kept = []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
            needed |= captured(node)
    return kept[::-1]
