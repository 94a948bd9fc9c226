"""The ways to turn a module into ONNX, by name, and what holds for the result of every one.

Each is tried in a worker of its own: an export can poison the next one in the same process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch

from edgekit.errors import DimensionLost, ExportFailed, UnrolledLoop
from edgekit.tensors import Dim
from edgekit.terms import ExportStrategy
from exporters.original import Original
from exporters.strategies import captured, traced
from exporters.strategies.conditions import (
    check_opset,
    recurrent_operators,
    refuse_unrolled,
)
from exporters.strategies.ranges import Converted

Shapes = Mapping[str, tuple[int | Dim, ...]]

WAYS: dict[ExportStrategy, Callable[..., Converted]] = {
    "dynamo": partial(captured.captured, captured.dynamo),
    "strict": partial(captured.captured, captured.strict),
    "deferred": partial(captured.captured, captured.deferred),
    "decomposed": partial(captured.captured, captured.decomposed),
    "torchscript": traced.torchscript,
}


def convert(
    strategy: ExportStrategy,
    original: Original,
    *,
    example: Mapping[str, torch.Tensor],
    shapes: Shapes,
    opset: int,
    label: str,
    unrolled: bool = False,
) -> Converted:
    """Export in one way, every named dimension held dynamic; sizes that are in doubt come along.

    Args:
        strategy: the way.
        original: the module and how it is called.
        example: tensors by name; a dynamic dimension of size 1 would become static, so they have
            at least 2 there.
        shapes: the shape of each input, with `Dim` where it must stay dynamic.
        opset: the version of ONNX's operators that must come out.
        label: what to call the module in errors.
        unrolled: accept a recurrent module as a loop's steps one after another.

    Raises:
        ExportFailed: torch could not export the module, or not for the whole of a range.
        DimensionLost: a dimension became static.
        OpsetUnavailable: torch gave another opset.
        UnrolledLoop: a recurrent module did not become ONNX's operator.
    """
    if not unrolled and strategy != "torchscript" and "RNN" in recurrent_operators(original.module):
        # Known beforehand: torch translates nn.RNN step by step, at a fixed number of steps.
        raise UnrolledLoop(target=label, operators=["RNN"])
    try:
        converted = WAYS[strategy](original, example, shapes=shapes, opset=opset, label=label)
    except DimensionLost as error:
        if "RNN" not in recurrent_operators(original.module):
            raise
        raise ExportFailed(
            target=label,
            problem="torch writes nn.RNN out step by step, as many as the example has",
            workaround="--strategy torchscript keeps it one operator, right at every length.",
        ) from error
    check_opset(converted.model, opset)
    if not unrolled:
        refuse_unrolled(original.module, converted.model, label)
    return converted
