"""Raise a model's opset, where that is what keeps nodes from a format.

ONNX allowed bfloat16 one operator after the other: MatMul and Add in opset 13, Conv, LSTM and the
pools in 22. The raising itself is ONNX's own version converter. It changes no branch and no loop,
and knows no sparse weights: a model that has such stays at its opset.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import onnx
import onnx.shape_inference
import onnx.version_converter

from edgekit.quantize.floats.formats import Format

_LOWEST = 13
"""Below it Softmax and others mean another thing, and nothing takes bfloat16 but the newest."""

_OTHER_FROM = {"DFT": 20, "GridSample": 20, "GroupNormalization": 21, "RoiAlign": 16}
"""Operators that from this opset on mean another thing by what is written the same, so that raising
a model past it would change its answers: ONNX's converter leaves some of them as they are."""

_SMALL_ELEMENTS = 1024
"""Weights up to here go through the converter, which reads shapes and axes out of them."""


def opset_of(model: Any) -> int:
    """Tell the version of ONNX's own operators that a model is written in; 0 where it has none."""
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)


def first_opset(operator: str, to: Format, *, after: int) -> int | None:
    """Tell from which opset later than `after` on an operator takes a format; None for never."""
    for version in range(after + 1, onnx.defs.onnx_opset_version() + 1):
        try:
            schema = onnx.defs.get_schema(operator, version)
        except onnx.defs.SchemaError:
            continue
        if any(to.tensor in formal.types for formal in schema.inputs):
            return version
    return None


def raised_for(model: Any, to: Format, *, operators: Collection[str], highest: int) -> Any:
    """Return a model at the lowest opset at which all its operators take a format that ever do.

    Nodes keep their order, their names and those of their values. The model itself comes back
    where nothing is to be gained, or where ONNX's converter can't raise it.

    Args:
        model: what `elements.read_typed` gave, external data not loaded.
        to: the format.
        operators: those that matter; all where it is empty.
        highest: how far to go.
    """
    graph, now = model.graph, opset_of(model)
    wanted = {now}
    for node in graph.node:
        if node.domain in ("", "ai.onnx") and (not operators or node.op_type in operators):
            wanted.add(_first_of(node.op_type, to, now, highest))
        if any(a.HasField("g") or a.graphs for a in node.attribute):
            return model
    opset = max(wanted)
    if opset == now or now < _LOWEST or graph.sparse_initializer:
        return model
    if any(now < _OTHER_FROM.get(node.op_type, now) <= opset for node in graph.node):
        return model
    return _raised(model, opset) or model


def _first_of(operator: str, to: Format, now: int, highest: int) -> int:
    """Tell which opset an operator waits for; `now` where it waits for none within reach."""
    try:
        schema = onnx.defs.get_schema(operator, now)
    except onnx.defs.SchemaError:
        return now
    if any(to.tensor in formal.types for formal in schema.inputs):
        return now
    first = first_opset(operator, to, after=now)
    return first if first is not None and first <= highest else now


def _raised(model: Any, opset: int) -> Any:
    """Convert a model whose large weights are put aside meanwhile; None where that fails."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    graph = bare.graph
    inputs = {value.name for value in graph.input}
    aside = [
        onnx.TensorProto.FromString(t.SerializeToString()) for t in graph.initializer if _large(t)
    ]
    _drop(graph.initializer, {tensor.name for tensor in aside})
    strangers = {tensor.name for tensor in aside} - inputs
    graph.input.extend(
        onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        for tensor in aside
        if tensor.name in strangers
    )
    try:
        raised = onnx.version_converter.convert_version(bare, opset)
    except RuntimeError:
        return None
    if _named(raised.graph) != _named(model.graph):
        # It took a node apart: what is said of nodes by name would no longer hold.
        return None
    _drop(raised.graph.input, strangers)
    raised.graph.initializer.extend(aside)
    del raised.metadata_props[:]
    raised.metadata_props.extend(model.metadata_props)
    return onnx.shape_inference.infer_shapes(raised)


def _large(tensor: Any) -> bool:
    return math.prod(tensor.dims) > _SMALL_ELEMENTS or len(tensor.external_data) > 0


def _drop(repeated: Any, names: set[str]) -> None:
    for index in reversed(range(len(repeated))):
        if repeated[index].name in names:
            del repeated[index]


def _named(graph: Any) -> list[tuple[str, ...]]:
    return [(node.op_type, node.name, *node.input, *node.output) for node in graph.node]
