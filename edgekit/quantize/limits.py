"""Which nodes must stay in float32, because fp16 can't hold what they meet."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from onnx import numpy_helper

from edgekit.errors import UnknownName
from edgekit.quantize.elements import FLOAT, element_types, label, role_of, schema_of
from edgekit.quantize.exact import kept_exact
from edgekit.quantize.halving import LARGEST
from edgekit.quantize.masks import behind_softmax
from edgekit.quantize.ranges import Ranges
from edgekit.tensors import Array

HEADROOM = 2.0
"""How much further than on the measured cases a value may go before it leaves fp16's range."""

SMALLEST = 3e-6
"""Below it fp16, whose steps are 2^-24 there, is off by more than one part in a hundred."""

_BOUNDS = {"Clip": (1, 2)}
"""Inputs that only cut off: beyond fp16's range they cut off nothing, and its end does the same."""

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


def kept_for_their_values(model: Any, ranges: Ranges) -> dict[str, str]:
    """Name the nodes that must stay in float32, by label, and say why.

    Args:
        model: what `elements.read_typed` gave, external data loaded.
        ranges: what was measured of it.
    """
    graph = model.graph
    types = element_types(model)
    weights = {t.name: numpy_helper.to_array(t) for t in graph.initializer if t.data_type == FLOAT}
    masks = behind_softmax(graph)
    problems = {
        name: _problem(
            largest_of(array), largest_of(array.clip(0)) if name in masks else None, headroom=1.0
        )
        for name, array in weights.items()
    }
    for name, largest in ranges.largest.items():
        problems[name] = _problem(largest, ranges.highest.get(name), headroom=HEADROOM)
    found: dict[str, str] = {}
    for node in graph.node:
        role = role_of(node, schema_of(model, node), types)
        if role.why or node.op_type in ("Shape", "Size"):
            continue
        for name in _met(node, role.inputs, role.outputs):
            if problems.get(name):
                found.setdefault(label(node), f"{name} {problems[name]}")
        why = _inside(node, ranges, weights)
        if why:
            found.setdefault(label(node), why)
    return {**kept_exact(model, types, ranges), **found}


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


def _problem(largest: float, highest: float | None, *, headroom: float) -> str:
    """Say why fp16 can't hold a value; `highest` is given where only the positive end counts."""
    end = largest if highest is None else highest
    if end * headroom > LARGEST:
        return f"reaches {end:.3g}, {_end_of_range(end)}"
    if 0 < largest < SMALLEST:
        return f"is at most {largest:.3g}, which fp16 tells from 0 only roughly"
    return ""


def _inside(node: Any, ranges: Ranges, weights: dict[str, Array]) -> str:
    """Say what happens inside a node that fp16 can't hold."""
    if node.op_type in _RUNNING_SUMS:
        return "a running sum in fp16 stands still once it is 2048 times a term"
    total = ranges.sums.get(label(node), 0.0)
    if node.op_type in _RECURRENT:
        total = _gates(node, ranges, weights)
    if total * HEADROOM > LARGEST:
        return f"its sums may reach {total:.3g}, {_end_of_range(total)}"
    return ""


def _end_of_range(reached: float) -> str:
    near = "past" if reached > LARGEST else "too near to"
    return f"{near} the end of fp16's range at {LARGEST:.0f}"


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
