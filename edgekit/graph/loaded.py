"""The graph that ONNX Runtime made of a model while it loaded it, beside what a run tells of it.

A profile has the sizes of all that a node took and gave, whatever its operator and however they
came about, and is of the nodes that really ran; but weights that a kernel packed for itself are
gone from it, and so are attributes. Those stand in the graph as the session saved it:

    profile   conv1_token_12  QLinearConv  uint8[1,96,96,3], scales, …   ─▶ uint8[1,48,48,16]
    graph     conv1_token_12  QLinearConv  weights int8[16,3,3,3], strides …

Nodes without a name are called after their operator and their place in a profile; both lists have
the order in which nodes run, by which those are brought together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgekit.graph.inferred import attributes_of, sizes_of
from edgekit.graph.multiplying import is_product
from edgekit.graph.sized import Sized, SizedNode
from edgekit.graph.summary import load_model


class Ran(msgspec.Struct, frozen=True):
    """A node of a profile: its name and operator there, and the sizes of what it took and gave."""

    name: str
    operator: str
    inputs: tuple[Sized, ...]
    outputs: tuple[Sized, ...]


class LoadedNode(msgspec.Struct, frozen=True):
    """A node as it ran, and the names of its values in the graph; none where it isn't found."""

    sized: SizedNode
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


def read_loaded(path: Path) -> Any:
    """Read the graph that a session saved.

    Raises what `edgekit.graph.summary.load_model` raises.
    """
    return load_model(path)


def as_run(
    model: Any, ran: Sequence[Ran], *, inputs: Mapping[str, Sized] | None = None
) -> list[LoadedNode]:
    """Bring a profile and a graph together, in the order of the profile.

    Args:
        model: what `read_loaded` gave; None where there is none.
        ran: the nodes of the profile.
        inputs: the model's own inputs as they were fed.
    """
    nodes = list(model.graph.node) if model is not None else []
    matched = _matched(nodes, ran)
    known: dict[str, Sized] = {}
    weights: set[str] = set()
    if model is not None:
        weights = {weight.name for weight in model.graph.initializer}
        known = {**sizes_of(model.graph), **(inputs or {})}
    for one, node in zip(ran, matched, strict=True):
        if node is not None:
            known.update(_named(one.outputs, node.output))
    return [_joined(one, node, known, weights) for one, node in zip(ran, matched, strict=True)]


def _joined(
    one: Ran, node: Any, known: Mapping[str, Sized], weights: Collection[str]
) -> LoadedNode:
    if node is None:
        found = SizedNode(
            one.name,
            one.operator,
            inputs=one.inputs,
            outputs=one.outputs,
            # Weights that were packed, and which way an operand is turned, are missing.
            known=not is_product(one.operator),
        )
        return LoadedNode(found)
    # What this node itself took counts most: a loop's values have one name and several sizes.
    sizes = {**known, **_named(one.inputs, node.input), **_named(one.outputs, node.output)}
    return LoadedNode(
        SizedNode(
            name=one.name,
            operator=one.operator,
            domain=node.domain,
            attributes=attributes_of(node),
            inputs=tuple(sizes.get(name) for name in node.input),
            outputs=tuple(sizes.get(name) for name in node.output),
            known=all(name in sizes for name in node.input if name),
            constant_bytes=sum(sizes[n].nbytes for n in node.input if n in weights),
        ),
        tuple(node.input),
        tuple(node.output),
    )


def _named(sizes: Sequence[Sized], names: Sequence[str]) -> dict[str, Sized]:
    """Pair values' sizes with their names where none is missing between."""
    present = [name for name in names if name]
    return dict(zip(present, sizes, strict=True)) if len(present) == len(sizes) else {}


def _matched(nodes: Sequence[Any], ran: Sequence[Ran]) -> list[Any]:
    """Find the graph's node of each that ran: all in one order, else by name."""
    if [node.op_type for node in nodes] == [one.operator for one in ran]:
        return list(nodes)
    named = {(node.name, node.op_type): node for node in nodes if node.name}
    nameless: dict[str, list[Any]] = {}
    for node in nodes:
        if not node.name:
            nameless.setdefault(node.op_type, []).append(node)
    waiting: dict[str, int] = {}
    for one in ran:
        if (one.name, one.operator) not in named:
            waiting[one.operator] = waiting.get(one.operator, 0) + 1
    # Those without a name keep their order; where some of a kind didn't run, none can be told.
    order = {kind: iter(some) for kind, some in nameless.items() if len(some) == waiting.get(kind)}
    return [
        named.get((one.name, one.operator)) or next(order.get(one.operator, iter(())), None)
        for one in ran
    ]
