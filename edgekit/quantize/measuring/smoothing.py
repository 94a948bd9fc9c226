"""Move outliers of activations into the weights behind them, where each row has room for them.

After Xiao et al., "SmoothQuant", 2022, equations 3 and 4: a MatMul gives the same if each channel
of what goes in is divided by s and the row of the weights that meets it is multiplied by it,

    Y = (X diag(s)^-1) (diag(s) W),   s_j = max|X_j|^alpha / max|W_j|^(1 - alpha)

and where a few channels of X are a hundred times larger than the others, the divided ones can share
one scale of 8 bits. Several nodes that read the same X share s, of the maximum over their weights.
The division goes into the weights of what makes X where that gives the same numbers and nothing
else reads X (`edgekit.quantize.measuring.dividing`); else a node is added:

    X ─▶ MatMul(W)      ▶      X ─▶ Mul(1 / s) ─▶ MatMul(diag(s) W)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper

from edgekit.errors import BadValue, UnknownName
from edgekit.quantize.constants import Constants, whole_attribute
from edgekit.quantize.elements import label, read_typed
from edgekit.quantize.measuring.calibration import HUGE
from edgekit.quantize.measuring.dividing import Division
from edgekit.quantize.measuring.probing import Probe
from edgekit.quantize.measuring.watching import Watch
from edgekit.runtime.folding import Fold
from edgekit.tensors import Array, Feed

ALPHA = 0.8
"""How much of the difficulty goes into the weights. Theirs have a scale for each channel, so they
bear more of it than those of the paper, whose 0.5 makes what is behind a Gelu worse (measured on a
real sentence encoder: cosine 0.988 without, 0.978 at 0.5, 0.997 at 0.8)."""

_DEVIATIONS = 4.0
_TOP = 127

_FARTHEST = 2.0**20
"""No channel is divided or multiplied by more: what is left of the others must stay normal."""


def smoothable(model: Any) -> dict[str, tuple[str, ...]]:
    """Name the values in front of a MatMul or Gemm with constant weights, and those nodes' labels.

    Args:
        model: what `elements.read_typed` gave; its weights need not be loaded.
    """
    return {value: tuple(label(node) for node in nodes) for value, nodes in _readers(model).items()}


def channel_maxima(
    model: Path,
    feeds: Callable[[], Iterable[Feed]],
    values: Collection[str],
    *,
    scratch: Path,
    wall_s: float,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Array]:
    """Find the largest |x| of each channel, the last axis, of values that `smoothable` names.

    Args:
        model: the .onnx file, external data beside it.
        feeds: starts a pass over what goes in.
        values: names out of `smoothable`.
        scratch: a folder for the model that is run; nothing is left there.
        wall_s: how long loading, or a single run, may take.
        progress: called with the runs done and the runs in all, as far as that is known.

    Returns:
        float32 [channels] by value; 0 where a channel held no finite number.

    Raises:
        UnknownName: a value that isn't in front of such a node.
        BadValue: there are no feeds.
        InputError, ModelFileError, RunFailed, WorkerError: it can't be read or run.
    """
    typed = read_typed(model)
    channels = {value: _channels(typed, nodes[0]) for value, nodes in _readers(typed).items()}
    probe = Probe(typed)
    folds = {}
    for value in dict.fromkeys(values):
        if value not in channels:
            raise UnknownName(kind="value to smooth", asked=value, available=sorted(channels))
        sizes = probe.node("Abs", probe.rows(value, channels[value]))
        folds[probe.answer(probe.reduced("ReduceMax", sizes, 0), channels[value])] = Fold("max")
    if not folds:
        return {}
    with Watch(model, scratch=scratch, wall_s=wall_s, progress=progress) as watch:
        kept = watch.run(probe, feeds, folds=folds)
    return {
        value: np.where((found := kept[answer]) < HUGE, found, 0).clip(min=0).astype(np.float32)
        for value, answer in zip(dict.fromkeys(values), folds, strict=True)
    }


def gains(model: Any, maxima: Mapping[str, Array], *, alpha: float = ALPHA) -> dict[str, float]:
    """Foretell how many dB of rounding noise smoothing takes from the answers behind each value.

    A value's step is max|X / s| / 127, and that of a weight's channel max|s W| / 127; an error lies
    evenly within a step, so its variance is step^2 / 12. The noise of an answer is the sum of both
    over what is multiplied. Of X no more is known than its maxima: its channels are taken to have
    one shape, and a maximum to be four deviations. Less than 0 is a loss.

    Args:
        model: what `elements.read_typed` gave, its weights loaded.
        maxima: what `channel_maxima` found.
        alpha: the exponent.
    """
    constants = Constants(model.graph)
    found = {}
    for value, nodes in _readers(model).items():
        rows = _rows(constants, nodes)
        if value in maxima and rows:
            plain = _noise(maxima[value], rows, scale=np.ones(len(rows[0])))
            scale = _scale(maxima[value], _largest(rows), alpha=alpha)
            smoothed = _noise(maxima[value], rows, scale=scale)
            alive = plain > 0 and smoothed > 0
            found[value] = 10 * float(np.log10(plain / smoothed)) if alive else 0.0
    return found


def smooth(model: Any, maxima: Mapping[str, Array], *, alpha: float = ALPHA) -> tuple[str, ...]:
    """Divide values and multiply the weights behind them, in place; the answers stay the same.

    Args:
        model: what `elements.read_typed` gave, its weights loaded.
        maxima: what `channel_maxima` found; only values in it are changed.
        alpha: 0 leaves the activations as they are, 1 gives all their channels one maximum.

    Returns:
        The labels of the nodes whose weights were multiplied, in the order of the graph.

    Raises:
        BadValue: alpha is not in 0..1.
    """
    if not 0 <= alpha <= 1:
        raise BadValue(what="The exponent of smoothing", asked=f"{alpha:g}", expected="0 to 1")
    graph = model.graph
    constants = Constants(graph)
    division = Division(graph, constants)
    touched: set[str] = set()
    for value, nodes in _readers(model).items():
        rows = _rows(constants, nodes)
        if value not in maxima or not rows:
            continue
        scale = _scale(maxima[value], _largest(rows), alpha=alpha)
        if not division.fold(value, scale, readers=nodes):
            _insert(graph, constants, value, scale=scale, nodes=nodes)
        for node, weight in zip(nodes, rows, strict=True):
            scaled = weight * scale[:, None]
            constants.put(node, 1, array=scaled.T if _turned(node) else scaled)
        touched.update(label(node) for node in nodes)
    return tuple(name for name in map(label, graph.node) if name in touched)


def _readers(model: Any) -> dict[str, list[Any]]:
    """List the nodes that multiply a value with constant weights, by the value."""
    sizes = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    found: dict[str, list[Any]] = {}
    for node in model.graph.node:
        if node.op_type not in ("MatMul", "Gemm") or node.domain not in ("", "ai.onnx"):
            continue
        value, weight = node.input[0], node.input[1]
        if value not in sizes and sizes.get(weight) == 2 and not whole_attribute(node, "transA", 0):
            found.setdefault(value, []).append(node)
    return found


def _rows(constants: Constants, nodes: list[Any]) -> list[Array]:
    """Return the nodes' weights as float32 [channels in, channels out]; none where one isn't."""
    weights = [constants.array(node, 1) for node in nodes]
    rows = [w.T if _turned(n) else w for n, w in zip(nodes, weights, strict=True) if w is not None]
    return rows if len(rows) == len(nodes) and len({len(w) for w in rows}) == 1 else []


def _largest(rows: list[Array]) -> Array:
    return np.asarray(np.max([np.abs(w).max(axis=1, initial=0) for w in rows], axis=0))


def _noise(maxima: Array, rows: list[Array], *, scale: Array) -> float:
    """Sum up the variance of the rounding errors of all answers, of weights with 8 bits each."""
    divided = maxima / scale
    variances = np.square(divided / _DEVIATIONS)
    # A channel that is smaller than half a step becomes 0: the error is the channel.
    of_rounding = np.minimum(np.square(divided.max(initial=0.0) / _TOP) / 12, variances)
    noise = 0.0
    for weight in rows:
        scaled = np.abs(weight * scale[:, None])
        of_weights = np.square(scaled.max(axis=0, initial=0.0) / _TOP) / 12
        noise += float(of_rounding @ np.square(scaled).sum(axis=1))
        noise += float(of_weights.sum() * variances.sum())
    return noise


def _turned(node: Any) -> bool:
    return node.op_type == "Gemm" and bool(whole_attribute(node, "transB", 0))


def _channels(model: Any, node: Any) -> int:
    dims = next(t.dims for t in model.graph.initializer if t.name == node.input[1])
    return int(dims[1 if _turned(node) else 0])


def _scale(activations: Array, weights: Array, *, alpha: float) -> Array:
    """Compute s; 1 for a channel of which either side is always 0, for it moves nothing."""
    alive = (activations > 0) & (weights > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.power(activations, alpha, dtype=np.float64) / np.power(weights, 1 - alpha)
    return np.where(alive, np.clip(scale, 1 / _FARTHEST, _FARTHEST), 1.0)


def _insert(
    graph: Any, constants: Constants, value: str, *, scale: Array, nodes: list[Any]
) -> None:
    factor = constants.add(f"{value}_smoothing", 1 / scale)
    smoothed = constants.fresh(f"{value}_smoothed")
    first = next(
        place for place, other in enumerate(graph.node) if any(other is node for node in nodes)
    )
    for node in nodes:
        node.input[0] = smoothed
    made = helper.make_node("Mul", [value, factor], [smoothed], name=smoothed)
    graph.node.insert(first, made)
