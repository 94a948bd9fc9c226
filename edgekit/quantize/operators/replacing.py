"""Go through a model's nodes and replace those that a scheme has a rule for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from edgekit.errors import BadValue
from edgekit.quantize import files
from edgekit.quantize.channel_scales import fold_channel_scales
from edgekit.quantize.elements import label, read_typed, subgraphs
from edgekit.quantize.floats.limits import known_nodes
from edgekit.quantize.folding_weights import fold_weights
from edgekit.quantize.operators.rewriting import CONTRIB, Rewriting

Rule: TypeAlias = Callable[[Rewriting, Any], str | None]
"""Replace a node and return "", or say why it stays; None where it isn't one that could."""

Rules: TypeAlias = Mapping[str, Rule]
"""Rules by operator, of ONNX's own domain or ONNX Runtime's."""

Weights: TypeAlias = Mapping[str, tuple[int, ...]]
"""The positions of an operator's weights among its inputs."""

_ASKED = "asked for"
_ELSEWHERE = "it holds graphs of its own, which stay in float"
_NO_GAIN = "this target gains nothing by it"
_ALL = "*"
_RECURRENT = frozenset({"GRU", "RNN"})
_SHOWN = 6


class Replaced(msgspec.Struct, frozen=True):
    """What became of a model: the replaced nodes, those that stayed and why, and new files."""

    nodes: tuple[str, ...]
    kept: dict[str, str]
    files: tuple[str, ...]


def rewrite(
    path: Path,
    output: Path,
    *,
    rules: Rules,
    weights: Weights,
    keep_float: Collection[str],
    stays: Mapping[str, str] | None = None,
    operators: Collection[str] = (),
    becomes: str,
    fold_scales: bool = False,
) -> Replaced:
    """Write a float32 model with the nodes replaced that rules are for.

    Args:
        path: the .onnx file, external data beside it.
        output: where the new one goes; external data beside it where `path` has some, or where it
            would be too large.
        rules: what replaces a node, by its operator.
        weights: where those operators have weights, which are worked out before where other
            weights alone lead to them.
        keep_float: nodes that stay, by label.
        stays: operators whose nodes always stay if they have weights, and why.
        operators: the operators that the target gains by; all where there are none, or "*".
        becomes: what the model is made, for the sentence that says that nothing was to be done.
        fold_scales: take scales and shifts of channels into the weights before them first, see
            `edgekit.quantize.channel_scales`.

    Raises:
        BadValue: nothing could be replaced.
        UnknownName: there is no such node.
        ModelFileError: weights have NaN or infinite numbers, or the model can't be read.
    """
    model = read_typed(path)
    known_nodes(model, keep_float, path=path)
    outside = files.load_weights(model, path)
    fold_weights(
        model,
        {
            node.input[index]
            for node in model.graph.node
            for index in weights.get(node.op_type, ())
            if _known_domain(node) and index < len(node.input) and label(node) not in keep_float
        },
    )
    if fold_scales:
        fold_channel_scales(model)
    rewriting = Rewriting(model, path=str(path))
    nodes: list[str] = []
    kept: dict[str, str] = {}
    gains = set(rules) if _ALL in operators or not operators else set(operators)
    for node in rewriting.nodes:
        why = _kept_for(rewriting, node, stays or {}, rules, gains)
        if why is None and node.op_type in rules and _known_domain(node):
            why = _ASKED if label(node) in keep_float else rules[node.op_type](rewriting, node)
        if why == "":
            nodes.append(label(node))
        elif why is not None:
            kept[label(node)] = why
    if not nodes:
        first = next((f" ({name}: {why})" for name, why in kept.items()), "")
        raise BadValue(
            what=f"a model to make {becomes}",
            asked=str(path),
            expected=f"one with nodes that gain by it; here none does{first}",
        )
    rewriting.finish()
    return Replaced(tuple(nodes), kept, files.save(model, output, external_data=outside))


def listed(names: Sequence[str]) -> str:
    """Name the first few of some nodes, and say how many there are more."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _kept_for(
    rewriting: Rewriting, node: Any, stays: Mapping[str, str], rules: Rules, gains: Collection[str]
) -> str | None:
    """Say why a node stays whatever it looks like, None where that isn't so."""
    if any(True for _ in subgraphs(node)):
        return _ELSEWHERE
    if not _known_domain(node):
        return None
    # The weights of a recurrent node are often put together while it runs.
    weighted = any(name in rewriting.weights for name in node.input)
    if node.op_type in stays and (weighted or node.op_type in _RECURRENT):
        return stays[node.op_type]
    if not weighted:
        return None
    return _NO_GAIN if node.op_type in rules and node.op_type not in gains else None


def _known_domain(node: Any) -> bool:
    return node.domain in ("", "ai.onnx", CONTRIB)
