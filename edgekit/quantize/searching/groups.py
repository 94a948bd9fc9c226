"""Groups of nodes that belong together: a block of a network, or what stands side by side in it.

Where a node belongs is read off the names that exports leave behind, of the module that holds its
weights or of the node itself:

    encoder.layers.0.query.bias            ─▶  encoder / layers / 0 / query
    /encoder/layer.0/attention/MatMul      ─▶  encoder / layer / 0 / attention

The tree of these names is cut as high up as no group gets too large. Without such names neighbours
in the order of the graph make a group.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec

from edgekit.quantize.elements import label

_SMALLEST, _LARGEST = 8, 16
"""Between these is how many nodes the largest group may have."""

_SPLIT = re.compile(r"[./:]+")

_Path = tuple[str, ...]


class NodeGroup(msgspec.Struct, frozen=True):
    """Nodes that are looked at together, in the order of the graph.

    `name` is that of the module that they come from, else those of the first and the last one.
    """

    name: str
    nodes: tuple[str, ...]


def groups_of(model: Any, nodes: Collection[str]) -> tuple[NodeGroup, ...]:
    """Divide nodes into groups of up to the square root of their number, or 8, and at most half.

    Args:
        model: what `elements.read_typed` gave.
        nodes: labels of the nodes to divide; others of the model only help to place them.

    Returns:
        The groups in the order of the graph, each node in exactly one of them.
    """
    wanted = set(nodes)
    order = [label(node) for node in model.graph.node]
    names = list(dict.fromkeys(name for name in order if name in wanted))
    if not names:
        return ()
    most = min(max(_SMALLEST, math.isqrt(len(names))), _LARGEST, math.ceil(len(names) / 2))
    paths = _paths(model)
    if len({paths[name] for name in names}) < 2:
        return _neighbours(names, most=most)
    return tuple(_cut(names, paths, depth=0, most=most))


def _cut(
    names: Sequence[str], paths: dict[str, _Path], *, depth: int, most: int
) -> Iterable[NodeGroup]:
    """Cut nodes whose paths begin alike, for `depth` names, into groups of at most `most`."""
    start = paths[names[0]][:depth]
    if len(names) <= most and depth:
        yield NodeGroup(".".join(start), tuple(names))
        return
    by_next: dict[_Path, list[str]] = {}
    for name in names:
        by_next.setdefault(paths[name][: depth + 1], []).append(name)
    for path, inside in by_next.items():
        if len(path) > depth:
            yield from _cut(inside, paths, depth=depth + 1, most=most)
        else:  # their names end here
            yield from _neighbours(inside, most=most, within=".".join(start))


def _neighbours(names: Sequence[str], *, most: int, within: str = "") -> tuple[NodeGroup, ...]:
    """Cut nodes in the order of the graph into parts of equal size."""
    parts = math.ceil(len(names) / most)
    size = math.ceil(len(names) / parts)
    found = []
    for start in range(0, len(names), size):
        part = tuple(names[start : start + size])
        ends = part[0] if len(part) == 1 else f"{part[0]} … {part[-1]}"
        found.append(NodeGroup(within if within and parts == 1 else ends, part))
    return tuple(found)


def _paths(model: Any) -> dict[str, _Path]:
    """Tell the path of every node by its label: its own, or that of what stands next to it."""
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    found: dict[str, _Path] = {}
    last: _Path = ()
    for node in graph.node:
        own = _own_path(node, weights)
        if not own and any(name in weights for name in node.input):
            # The bias of a MatMul is its user's, whose name an exporter keeps more often.
            following = [user for name in node.output for user in users.get(name, [])]
            own = _own_path(following[0], weights) if len(following) == 1 else ()
        last = own or last
        found[label(node)] = last
    first = next((path for path in found.values() if path), ())
    return {name: path or first for name, path in found.items()}


def _own_path(node: Any, weights: Collection[str]) -> _Path:
    """Read a path off a node's name, or else off its weights' names; () where neither has one."""
    named = [part for part in _SPLIT.split(node.name) if part]
    if "/" in node.name and len(named) > 1:
        return tuple(named[:-1])
    candidates = [tuple(_SPLIT.split(name)[:-1]) for name in node.input if name in weights]
    return max(candidates, key=lambda path: len(path), default=())
