"""How large the values of a float model get, and the sums inside its nodes, on real cases.

The model is run with an answer more for every value, and that answer is one number, so that memory
doesn't grow with the model's values nor with the cases:

    v ─▶ Abs ─▶ Where(< inf, ·, 0) ─▶ ReduceMax ─▶ largest

What a node adds up inside is seen through its twin, the same node over absolute values: no partial
sum, in whatever order a kernel adds, is larger than the sum of |a|·|b|.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx

from edgekit.graph.summary import external_files
from edgekit.measure.ways import How, variant_call
from edgekit.metrics import UNBOUNDED
from edgekit.package.values import PORTABLE, SessionChoice
from edgekit.quantize.additions import Additions
from edgekit.quantize.elements import FLOAT, element_types, label, read_typed
from edgekit.quantize.floats.masks import behind_softmax
from edgekit.tensors import Feed
from edgekit.workers import Worker

_TWINS = {
    **{name: name for name in ("Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul", "ReduceSum")},
    "ReduceMean": "ReduceL1",
    "ReduceL1": "ReduceL1",
    "ReduceL2": "ReduceSumSquare",
}
"""Operators that add up many terms, and the one that gives the sum of their absolute values."""

_FIRST_WHERE = 9
"""The opset from which on there is Where."""


class Ranges(msgspec.Struct, frozen=True):
    """The largest finite |value| met, by the value's name; the largest sum of absolute terms, by
    the node's label; and how many cases were run. A value that was never there (empty) has 0.

    `highest` has the largest finite value, without its sign taken off, of what only leads to a
    Softmax (`edgekit.quantize.floats.masks`).
    """

    largest: dict[str, float]
    highest: dict[str, float]
    sums: dict[str, float]
    cases: int


def measure_ranges(
    model: Path,
    feeds: Iterable[Feed],
    *,
    scratch: Path,
    wall_s: float,
    progress: Callable[[int, int], None] | None = None,
) -> Ranges:
    """Run a float32 model over feeds and keep the maxima alone.

    Args:
        model: the .onnx file, external data beside it.
        feeds: what goes in, one call each.
        scratch: a folder for the model with the additional answers.
        wall_s: how long loading, or a single run, may take.
        progress: called with the feeds done and the feeds in all.

    Raises:
        ModelFileError, RunFailed, WorkerError: it can't be read or run.
    """
    watched = _Watched(read_typed(model))
    path = scratch / "watched.onnx"
    onnx.save(watched.model, path)
    beside = external_files(model)
    for name in beside:
        # A copy: ONNX Runtime follows no symbolic link out of a folder, and while there is a hard
        # link `onnx` reads neither.
        shutil.copyfile(model.parent / name, scratch / name)
    feeds = list(feeds)
    watches = (watched.values, watched.highs, watched.sums)
    met = tuple(dict.fromkeys(watch.values(), 0.0) for watch in watches)
    with Worker(f"running {model.name} for its ranges", wall_s=wall_s) as worker:
        worker.open(variant_call(path, PORTABLE, How(SessionChoice(graph_level="basic"))))
        for done, feed in enumerate(feeds):
            if progress is not None:
                progress(done, len(feeds))
            outputs = worker.run(feed).outputs
            for watch, found in zip(watches, met, strict=True):
                for answer, name in watch.items():
                    found[name] = max(found[name], _number(outputs[answer]))
    for name in (path.name, *beside):
        (scratch / name).unlink()
    largest, highest, sums = met
    return Ranges(largest, highest, sums, len(feeds))


def _number(answer: Any) -> float:
    value = float(np.max(answer, initial=0.0))
    return value if np.isfinite(value) else UNBOUNDED


class _Watched:
    """A model with an answer more for every float32 value and every node that adds up.

    Attributes:
        model: the model.
        values: the value that each additional answer is about.
        highs: the same, of answers that keep the sign.
        sums: the label of the node that each of the others is about.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.values: dict[str, str] = {}
        self.highs: dict[str, str] = {}
        self.sums: dict[str, str] = {}
        self._graph = model.graph
        self._add = Additions(model.graph)
        self._absolutes: dict[str, str] = {}
        self._opset = next(
            (o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), _FIRST_WHERE
        )
        graph = self._graph
        types = element_types(model)
        masks = behind_softmax(graph)
        weights = {tensor.name for tensor in graph.initializer}
        nodes = list(graph.node)
        made = [name for node in nodes for name in node.output]
        names = [value.name for value in graph.input if value.name not in weights] + made
        self._infinity = self._add.constant("infinity", np.array(np.inf, np.float32))
        self._zero = self._add.constant("zero", np.array(0, np.float32))
        for name in names:
            if types.get(name) == FLOAT:
                self.values[self._largest(self._absolute(name))] = name
                if name in masks:
                    self.highs[self._largest(name)] = name
        for node in nodes:
            floats = [name for name in node.output if types.get(name) == FLOAT]
            if node.domain in ("", "ai.onnx") and node.op_type in _TWINS and floats:
                self.sums[self._largest(self._twin(node, types))] = label(node)

    def _twin(self, node: Any, types: dict[str, int]) -> str:
        twin = onnx.NodeProto.FromString(node.SerializeToString())
        twin.op_type = _TWINS[node.op_type]
        twin.name = ""
        for index, name in enumerate(node.input):
            if types.get(name) == FLOAT:
                twin.input[index] = self._absolute(name)
        for attribute in twin.attribute:
            if node.op_type == "Gemm" and attribute.name in ("alpha", "beta"):
                attribute.f = abs(attribute.f)
        twin.output[0] = self._add.fresh(f"{node.output[0]}_twin")
        self._graph.node.append(twin)
        return str(twin.output[0])

    def _absolute(self, name: str) -> str:
        if name not in self._absolutes:
            self._absolutes[name] = self._add.node("Abs", [name])
        return self._absolutes[name]

    def _largest(self, name: str) -> str:
        """Add the largest element that isn't infinite or NaN as an answer."""
        if self._opset >= _FIRST_WHERE:
            finite = self._add.node("Less", [name, self._infinity])
            name = self._add.node("Where", [finite, name, self._zero])
        return self._add.answer(self._add.node("ReduceMax", [name], attributes={"keepdims": 0}))
