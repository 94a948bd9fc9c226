"""Rewrite a float32 model so that most of its nodes compute in 16 bits.

A value that nodes of both kinds use exists twice, with one cast where it is made (in fp16; bf16 is
the same):

    x ─▶ MatMul ─▶ h ─▶ Relu ─▶ y      x ─▶ Cast ─▶ MatMul ─▶ h_fp16 ─▶ Relu ─▶ y_fp16 ─▶ Cast ─▶ y
                   └──▶ Kept ─▶ z                             └──▶ Cast ─▶ h ─▶ Kept ─▶ z

A weight that nodes of both kinds use is stored twice, so that a node which stays in float32 loses
nothing. What goes into the model and comes out of it stays as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgekit.quantize.elements import (
    FLOAT,
    Role,
    captured,
    element_types,
    label,
    names_in,
    role_of,
    schema_of,
)
from edgekit.quantize.floats.batch_turns import keep_apart
from edgekit.quantize.floats.formats import FP16, Format
from edgekit.quantize.floats.masks import behind_softmax
from edgekit.tensors import Array

MOVES = frozenset(
    {"Concat", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Identity", "Pad"}
    | {"Reshape", "Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze", "Where"}
)
"""Operators that compute nothing: between nodes that stay in float32 they stay in it, too."""

_MEASURES = frozenset({"Shape", "Size"})
"""Operators that read no value, and so take the one that is there."""

_FIRST_IR = 4
"""The IR version from which on a weight need not be listed among the inputs."""


class Halved(msgspec.Struct, frozen=True):
    """What a rewriting did: nodes that now have 16 bits, casts it took, and what stayed float32.

    `kept` has a node's label and why it stayed; nodes that hold no float32 aren't in it.
    """

    nodes: tuple[str, ...]
    casts: int
    kept: dict[str, str]


def halve(model: Any, *, keep_float: Mapping[str, str], to: Format = FP16) -> Halved:
    """Rewrite a model in place; its weights must be loaded and its types worked out.

    Args:
        model: what `elements.read_typed` gave, external data loaded.
        keep_float: nodes that must stay in float32, by label, and why.
        to: the format that the others compute in.
    """
    graph = model.graph
    types = element_types(model)
    floats = {name for name, kind in types.items() if kind == FLOAT}
    roles = [role_of(node, schema_of(model, node), types, to=to) for node in graph.node]
    kept = {
        index: keep_float.get(label(node), role.why)
        for index, (node, role) in enumerate(zip(graph.node, roles, strict=True))
        if role.why or label(node) in keep_float
    }
    kept |= _between(graph, kept, floats)
    reasons = {
        label(node): kept[index]
        for index, node in enumerate(graph.node)
        if index in kept and floats.intersection((*node.input, *node.output, *captured(node)))
    }
    halves = [None if index in kept else role for index, role in enumerate(roles)]
    nodes = tuple(
        label(node)
        for node, role in zip(graph.node, halves, strict=True)
        if node.op_type not in _MEASURES and role is not None
    )
    casts = _Rewriting(graph, halves, floats, to).apply()
    model.ir_version = max(model.ir_version, _FIRST_IR)
    return Halved(nodes=nodes, casts=casts, kept=reasons)


def half_of(array: Array, *, lowest: float | None = None, to: Format = FP16) -> Array:
    """Round to the nearest. What is finite stays finite: beyond the range, its end.

    `lowest` is that end for negative elements, where it is to be another.
    """
    low = -to.largest if lowest is None else lowest
    return to.cast(np.where(np.isfinite(array), np.clip(array, low, to.largest), array))


def _between(graph: Any, kept: Mapping[int, str], floats: set[str]) -> dict[int, str]:
    """Find the nodes that only move values from and to nodes that stay in float32."""
    made_by = {name: index for index, node in enumerate(graph.node) for name in node.output}
    weights = {tensor.name for tensor in graph.initializer}
    used_by: dict[str, list[int]] = {}
    for index, node in enumerate(graph.node):
        for name in (*node.input, *captured(node)):
            used_by.setdefault(name, []).append(index)
    stays = set(kept)
    found: dict[int, str] = {}
    changed = True
    while changed:
        changed = False
        for index, node in enumerate(graph.node):
            if index in stays or node.op_type not in MOVES:
                continue
            sources = [name for name in node.input if name in floats and name not in weights]
            uses = [user for name in node.output for user in used_by.get(name, [])]
            if (
                sources
                and all(made_by.get(name) in stays for name in sources)
                and all(user in stays for user in uses)
            ):
                stays.add(index)
                found[index] = "what goes in and what uses it stay in float32"
                changed = True
    return found


class _Rewriting:
    """The new nodes and weights of a graph, as they come to be.

    Args:
        graph: what is rewritten.
        halves: for every node its role if it computes in 16 bits, else None.
        floats: the names of all float32 values.
        to: the format of 16 bits.
    """

    def __init__(
        self, graph: Any, halves: Sequence[Role | None], floats: set[str], to: Format
    ) -> None:
        self._graph = graph
        self._halves = halves
        self._floats = floats
        self._to = to
        self._taken = names_in(graph)
        self._masks = behind_softmax(graph)
        self._wanted_half: set[str] = set()
        self._wanted_float = {value.name for value in graph.output} & floats
        for node, role in zip(graph.node, halves, strict=True):
            if node.op_type in _MEASURES:
                continue
            half = role.inputs if role is not None else frozenset()
            for index, name in enumerate(node.input):
                (self._wanted_half if index in half else self._wanted_float).add(name)
            self._wanted_float |= captured(node)
        self._names: dict[str, str] = {}
        self._nodes: list[Any] = []
        self._casts = 0

    def apply(self) -> int:
        """Rewrite the graph, and return how many casts that took."""
        graph = self._graph
        self._convert_weights()
        for name in [value.name for value in (*graph.input, *_sparse(graph))]:
            self._after_float(name)
        for node, role in zip(graph.node, self._halves, strict=True):
            self._add(node, role)
        del graph.node[:]
        graph.node.extend(self._nodes)
        if self._to is FP16:
            keep_apart(graph, halves=set(self._names.values()), taken=self._taken)
        rest = [value for value in graph.value_info if value.name not in self._floats]
        copies = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in rest]
        del graph.value_info[:]
        graph.value_info.extend(copies)
        return self._casts

    def _add(self, node: Any, role: Role | None) -> None:
        made = onnx.NodeProto.FromString(node.SerializeToString())
        self._nodes.append(made)
        if role is None or node.op_type in _MEASURES:
            # What such a node names is there: a value that is wanted in 16 bits alone keeps
            # its name.
            for name in node.output:
                self._after_float(name)
            return
        for index in role.inputs:
            made.input[index] = self._names[node.input[index]]
        for index in role.outputs:
            name = node.output[index]
            # A value that nothing wants in float32 keeps its name.
            self._names[name] = self._fresh(name) if name in self._wanted_float else name
            made.output[index] = self._names[name]
        if node.op_type == "Cast" and role.outputs:
            for attribute in made.attribute:
                if attribute.name == "to":
                    attribute.i = self._to.element_type
        for index in sorted(role.outputs):
            name = node.output[index]
            if name in self._wanted_float:
                self._cast(self._names[name], name, to=FLOAT)

    def _convert_weights(self) -> None:
        graph = self._graph
        half: list[Any] = []
        dropped: set[str] = set()
        for tensor in graph.initializer:
            if tensor.data_type != FLOAT:
                continue
            name = tensor.name
            if name in self._wanted_half:
                both = name in self._wanted_float
                self._names[name] = self._fresh(name) if both else name
                lowest = self._to.lowest_mask if name in self._masks else None
                array = half_of(numpy_helper.to_array(tensor), lowest=lowest, to=self._to)
                half.append(numpy_helper.from_array(array, self._names[name]))
                if not both:
                    dropped.add(name)
        weights = {tensor.name for tensor in graph.initializer}
        _keep_only(graph.initializer, lambda tensor: tensor.name not in dropped)
        graph.initializer.extend(half)
        # Of a weight that is an input as well the caller could still give another.
        _keep_only(graph.input, lambda value: value.name not in weights)

    def _after_float(self, name: str) -> None:
        """Add the cast that a float32 value needs, now that it is there."""
        if name in self._wanted_half and name in self._floats:
            self._names[name] = self._fresh(name)
            self._cast(name, self._names[name], to=self._to.element_type)

    def _cast(self, source: str, target: str, *, to: int) -> None:
        name = f"{target}_cast"
        self._nodes.append(helper.make_node("Cast", [source], [target], name=name, to=to))
        self._casts += 1

    def _fresh(self, name: str) -> str:
        fresh = f"{name}_{self._to.name}"
        while fresh in self._taken:
            fresh += "_"
        self._taken.add(fresh)
        return fresh


def _keep_only(repeated: Any, wanted: Any) -> None:
    for index in reversed(range(len(repeated))):
        if not wanted(repeated[index]):
            del repeated[index]


def _sparse(graph: Any) -> list[Any]:
    return [sparse.values for sparse in graph.sparse_initializer]
