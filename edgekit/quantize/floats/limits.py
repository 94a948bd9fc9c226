"""Which nodes must stay in float32, because 16 bits can't hold what they meet."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from onnx import numpy_helper

from edgekit.errors import UnknownName
from edgekit.quantize.elements import FLOAT, element_types, label, role_of, schema_of
from edgekit.quantize.floats.exact import kept_exact
from edgekit.quantize.floats.formats import FP16, Format
from edgekit.quantize.floats.masks import behind_softmax
from edgekit.quantize.floats.ranges import Ranges
from edgekit.tensors import Array

HEADROOM = 2.0
"""How much further than on the measured cases a value may go before it leaves the range."""

_BOUNDS = {"Clip": (1, 2)}
"""Inputs that only cut off: beyond the range they cut off nothing, and its end does the same."""

_RUNNING_SUMS = frozenset({"CumSum"})
_RECURRENT = frozenset({"GRU", "LSTM", "RNN"})
_SHOWN = 8


def known_nodes(model: Any, names: Iterable[str], *, path: Path) -> None:
    """Raise UnknownName for a name that no node of a model has; it lists the nearest."""
    known = {label(node) for node in model.graph.node}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=_SHOWN, cutoff=0.0)
            raise UnknownName(
                kind="node",
                asked=name,
                available=near,
                of=f"among the {len(known)} of {path.name}",
            )


def kept_for_their_values(model: Any, ranges: Ranges, *, to: Format = FP16) -> dict[str, str]:
    """Name the nodes that must stay in float32, by label, and say why.

    Args:
        model: what `elements.read_typed` gave, external data loaded.
        ranges: what was measured of it.
        to: the format that the others are to compute in.
    """
    graph = model.graph
    types = element_types(model)
    weights = {t.name: numpy_helper.to_array(t) for t in graph.initializer if t.data_type == FLOAT}
    masks = behind_softmax(graph)
    problems = {
        name: _problem(
            largest_of(array),
            largest_of(array.clip(0)) if name in masks else None,
            headroom=1.0,
            to=to,
        )
        for name, array in weights.items()
    }
    for name, largest in ranges.largest.items():
        problems[name] = _problem(largest, ranges.highest.get(name), headroom=HEADROOM, to=to)
    found: dict[str, str] = {}
    for node in graph.node:
        role = role_of(node, schema_of(model, node), types, to=to)
        if role.why or node.op_type in ("Shape", "Size"):
            continue
        for name in _met(node, role.inputs, role.outputs):
            if problems.get(name):
                found.setdefault(label(node), f"{name} {problems[name]}")
        why = _inside(node, ranges, weights, to)
        if why:
            found.setdefault(label(node), why)
    return {**kept_exact(model, types, ranges, to=to), **found}


def largest_of(array: Array) -> float:
    """Return the largest finite |element|; 0 of an empty array."""
    absolute = np.abs(array)
    return float(np.max(absolute, initial=0.0, where=np.isfinite(absolute)))


def _met(node: Any, inputs: frozenset[int], outputs: frozenset[int]) -> Iterator[str]:
    for index in sorted(inputs):
        if index not in _BOUNDS.get(node.op_type, ()):
            yield node.input[index]
    for index in sorted(outputs):
        yield node.output[index]


def _problem(largest: float, highest: float | None, *, headroom: float, to: Format) -> str:
    """Say why a format can't hold a value; `highest` is that of one whose low end doesn't count."""
    end = largest if highest is None else highest
    if end * headroom > to.largest:
        return f"reaches {end:.3g}, {_end_of_range(end, to)}"
    if 0 < largest < to.smallest:
        return f"is at most {largest:.3g}, which {to.name} tells from 0 only roughly"
    return ""


def _inside(node: Any, ranges: Ranges, weights: dict[str, Array], to: Format) -> str:
    """Say what happens inside a node that a format can't hold."""
    if node.op_type in _RUNNING_SUMS:
        return f"a running sum in {to.name} stands still once it is {to.counts_to} times a term"
    total = ranges.sums.get(label(node), 0.0)
    if node.op_type in _RECURRENT:
        total = _gates(node, ranges, weights)
    if total * HEADROOM > to.largest:
        return f"its sums may reach {total:.3g}, {_end_of_range(total, to)}"
    return ""


def _end_of_range(reached: float, to: Format) -> str:
    near = "past" if reached > to.largest else "too near to"
    return f"{near} the end of {to.name}'s range at {to.largest:.5g}"


def _gates(node: Any, ranges: Ranges, weights: dict[str, Array]) -> float:
    """Bound what a recurrent node adds up at a gate: |W|·max|x| + |R|·max|h| + |b|, row by row."""
    inputs = [*node.input, *[""] * 8]
    x, w, r, b = (inputs[index] for index in range(4))
    if w not in weights or r not in weights:
        return 0.0
    states = [*node.output, inputs[5]]
    h = max((ranges.largest.get(name, 0.0) for name in states if name), default=0.0)
    rows = np.abs(weights[w]).sum(axis=-1) * ranges.largest.get(x, 0.0)
    rows = rows + np.abs(weights[r]).sum(axis=-1) * max(h, 1.0)
    bias = np.abs(weights[b]).max(initial=0.0) * 2 if b in weights else 0.0
    return float(rows.max(initial=0.0) + bias)
