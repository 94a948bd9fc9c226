"""The nodes of an .onnx with the sizes that shape inference gives them for one feed.

This is the second best source: ONNX's inference knows no operator outside of its own domain, and
no size that depends on values. What a run tells (`edgekit.graph.loaded`) is complete, and is of the
nodes that really run; this here is for a provider that compiles a model whole and tells of none.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import onnx
import onnx.inliner
import onnx.shape_inference

from edgekit.errors import ModelFileError
from edgekit.graph.sized import Sized, SizedNode
from edgekit.graph.summary import load_model


def infer_sizes(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> list[SizedNode]:
    """Tell the sizes of all nodes of the main graph, in its order, for inputs of given shapes.

    Functions of the model's own are written out first. A node of which any size stays open is not
    `known`; nodes inside branches and loops aren't listed, and neither is what holds them known.

    Raises:
        MissingExtra, NotFound, ModelFileError: it can't be read, or contradicts these shapes.
    """
    model = load_model(path)
    try:
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
        for value in model.graph.input:
            if value.name in shapes:
                fixed = value.type.tensor_type.shape.dim
                for dim, size in zip(fixed, shapes[value.name], strict=True):
                    dim.dim_value = size
        _forget_names(model.graph)
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:  # protobuf's and onnx's own share no base class but this one
        raise ModelFileError(path=str(path), problem=" ".join(str(error).split())) from error
    known = sizes_of(inferred.graph)
    weights = {weight.name for weight in inferred.graph.initializer}
    return [sized(node, known, weights) for node in inferred.graph.node]


def sizes_of(graph: Any) -> dict[str, Sized]:
    """Tell the element type and shape of every value of a graph, as far as the file says it."""
    found: dict[str, Sized] = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        dims = tensor.shape.dim
        if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            found[value.name] = Sized(_dtype(tensor.elem_type), tuple(d.dim_value for d in dims))
    for weight in graph.initializer:
        found[weight.name] = Sized(_dtype(weight.data_type), tuple(weight.dims))
    return found


def sized(node: Any, known: Mapping[str, Sized], weights: Collection[str]) -> SizedNode:
    """Put what is known of a node's values beside it; `weights` names those that are constant."""
    holds_graphs = any(attribute.type in _GRAPHS for attribute in node.attribute)
    return SizedNode(
        name=node.name,
        operator=node.op_type,
        domain=node.domain,
        attributes=attributes_of(node),
        inputs=tuple(known.get(name) for name in node.input),
        outputs=tuple(known.get(name) for name in node.output),
        known=not holds_graphs and all(n in known for n in (*node.input, *node.output) if n),
        constant_bytes=sum(known[name].nbytes for name in node.input if name in weights),
    )


def attributes_of(node: Any) -> dict[str, Any]:
    """Read a node's attributes that are numbers, texts, or lists of them."""
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            found[attribute.name] = value.decode(errors="replace")
        elif isinstance(value, int | float):
            found[attribute.name] = value
        elif attribute.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS):
            found[attribute.name] = list(value)
    return found


_GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


def _forget_names(graph: Any) -> None:
    """Take away what the file says of sizes between nodes and at its end: names, for other sizes.

    Strict inference would hold an output `[batch, 10]` against the batch that was put in.
    """
    del graph.value_info[:]
    for value in graph.output:
        for dim in value.type.tensor_type.shape.dim:
            if not dim.HasField("dim_value"):
                dim.Clear()


def _dtype(kind: int) -> str:
    name: str = onnx.TensorProto.DataType.Name(kind)
    return {"FLOAT": "float32", "DOUBLE": "float64"}.get(name, name.lower())


def weights_bytes(path: Path) -> int:
    """Count the bytes of a model's weights, as they are stored.

    Raises what `edgekit.graph.summary.load_model` raises.
    """
    model = load_model(path)
    return sum(
        Sized(_dtype(weight.data_type), (math.prod(weight.dims),)).nbytes
        for weight in model.graph.initializer
    )
