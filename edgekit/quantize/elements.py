"""Which element type each value of a graph has, and which nodes could compute in 16 bits.

ONNX says of every operator which element types its inputs and outputs may have, and which of them
are always the same (a type variable, "T"). That is the rule here, and not a list of operators: a
node can compute in fp16 if all its float32 outputs follow a float32 input whose type variable
allows float16, and in bf16 if it allows bfloat16. Inputs that don't (Resize's scales) stay float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnx.inliner
import onnx.shape_inference

from edgekit.errors import ModelFileError
from edgekit.graph.node_names import label as label
from edgekit.graph.summary import load_model
from edgekit.quantize.floats.formats import FP16, Format
from edgekit.quantize.floats.opsets import first_opset

FLOAT = onnx.TensorProto.FLOAT
_UNKNOWN = onnx.TensorProto.UNDEFINED

_IN_FLOAT_ALONE = {
    "BitCast": "it takes numbers for their bits",
    "MeanVarianceNormalization": "ONNX writes it out with float32 inside",
}
"""Operators whose definition allows 16 bits and which are another thing, or nothing, in them."""


class Role(msgspec.Struct, frozen=True):
    """What of a node gets 16 bits if it does: positions of inputs and outputs.

    `why` says why it can't, where it can't.
    """

    inputs: frozenset[int] = frozenset()
    outputs: frozenset[int] = frozenset()
    why: str = ""


def read_typed(path: Path) -> Any:
    """Read a model's structure, every value's type worked out, external data left where it is.

    Functions are written out, and constants that are nodes become initializers.

    Raises:
        MissingExtra, NotFound, ModelFileError: it can't be read.
    """
    model = load_model(path)
    try:
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
        _hoist_constants(model.graph)
        return onnx.shape_inference.infer_shapes(model)
    except Exception as error:  # protobuf's and onnx's own share no base class but this one
        raise ModelFileError(path=str(path), problem=" ".join(str(error).split())) from error


def element_types(model: Any) -> dict[str, int]:
    """Tell the element type of every value of the main graph; what isn't known is left out.

    Where shape inference knows no operator (those outside ONNX's own domain), a value has the type
    of the others that share its type variable in a node that is known.
    """
    graph = model.graph
    types: dict[str, int] = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.HasField("tensor_type"):
            types[value.name] = value.type.tensor_type.elem_type
        elif value.type.WhichOneof("value") is not None:
            types[value.name] = -1  # a sequence or an optional: no type of an element
    for tensor in graph.initializer:
        types[tensor.name] = tensor.data_type
    for sparse in graph.sparse_initializer:
        types[sparse.values.name] = sparse.values.data_type
    types = {name: kind for name, kind in types.items() if kind != _UNKNOWN}
    groups = [group for node in graph.node for group in _same_types(node, schema_of(model, node))]
    found = True
    while found:
        found = False
        for group in groups:
            kind = next((types[name] for name in group if name in types), None)
            for name in group:
                if kind is not None and name not in types:
                    types[name] = kind
                    found = True
    return types


def schema_of(model: Any, node: Any) -> Any:
    """Return ONNX's definition of a node's operator; None where its own domain has none."""
    if not _is_onnx(node.domain):
        return None
    version = next((o.version for o in model.opset_import if _is_onnx(o.domain)), None)
    if version is None:
        return None
    try:
        return onnx.defs.get_schema(node.op_type, version)
    except onnx.defs.SchemaError:
        return None


def role_of(node: Any, schema: Any, types: dict[str, int], *, to: Format = FP16) -> Role:
    """Tell which inputs and outputs of a node would be of a format if it computed in it."""
    if schema is None:
        return Role(why="ONNX itself has no such operator")
    if any(True for _ in subgraphs(node)):
        return Role(why="it holds graphs of its own")
    if why := _IN_FLOAT_ALONE.get(node.op_type) or _adds_up_in_place(node, to):
        return Role(why=why)
    if any(
        types.get(name, _UNKNOWN) in (_UNKNOWN, -1) for name in (*node.input, *node.output) if name
    ):
        return Role(why="not all of its types are known")
    inputs, follow = set(), set()
    for index, (name, formal) in enumerate(_formals(node.input, schema.inputs)):
        if name and types[name] == FLOAT and to.tensor in formal.types:
            inputs.add(index)
            follow.add(formal.type_str)
    outputs = set()
    for index, (name, formal) in enumerate(_formals(node.output, schema.outputs)):
        if not name or types[name] != FLOAT:
            continue
        if formal.type_str in follow or _casts_to_float(node):
            outputs.add(index)
        elif to.tensor in formal.types:
            return Role(why="its type is set by itself and not by what goes in")
    if not inputs and not outputs:
        return Role(why=_no_form(node, schema, to))
    return Role(frozenset(inputs), frozenset(outputs))


def subgraphs(node: Any) -> Iterator[Any]:
    """List the graphs that a node holds: branches, and the body of a loop."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def captured(node: Any) -> set[str]:
    """Name the values of the outer graph that the graphs inside a node use."""
    return {name for graph in subgraphs(node) for name in _free_names(graph)}


def _hoist_constants(graph: Any) -> None:
    """Turn float32 constants of the main graph into initializers, which may have two types."""
    left = []
    for node in graph.node:
        tensor = _constant(node)
        if tensor is None or tensor.data_type != FLOAT:
            left.append(node)
            continue
        hoisted = graph.initializer.add()
        hoisted.CopyFrom(tensor)
        hoisted.name = node.output[0]
    if len(left) < len(graph.node):
        kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in left]
        del graph.node[:]
        graph.node.extend(kept)


def _constant(node: Any) -> Any:
    if node.op_type != "Constant" or not _is_onnx(node.domain):
        return None
    for attribute in node.attribute:
        if attribute.name == "value":
            return attribute.t
        if attribute.name == "value_float":
            return onnx.numpy_helper.from_array(np.array(attribute.f, np.float32))
        if attribute.name == "value_floats":
            return onnx.numpy_helper.from_array(np.array(attribute.floats, np.float32))
    return None


def names_in(graph: Any) -> set[str]:
    """Name every value of a graph and of those inside it."""
    found = {value.name for value in (*graph.input, *graph.initializer, *graph.output)}
    for node in graph.node:
        found |= {*node.input, *node.output}
        for inner in subgraphs(node):
            found |= names_in(inner)
    return found


def _free_names(graph: Any) -> set[str]:
    own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    own |= {name for node in graph.node for name in node.output}
    used = {name for node in graph.node for name in node.input}
    used |= {value.name for value in graph.output}
    used |= {name for node in graph.node for name in captured(node)}
    return used - own


def _is_onnx(domain: str) -> bool:
    return domain in ("", "ai.onnx")


def _no_form(node: Any, schema: Any, to: Format) -> str:
    """Say that an operator isn't defined in a format, and from where on it is if it is by now."""
    later = first_opset(node.op_type, to, after=schema.since_version)
    return f"it has no form in {to.name}" + (f" before opset {later}" if later else "")


def _adds_up_in_place(node: Any, to: Format) -> str:
    """Say why a Scatter that reduces stays: ONNX Runtime's CPU provider refuses it in 16 bits."""
    reduces = node.op_type.startswith("Scatter") and any(
        attribute.name == "reduction" and attribute.s != b"none" for attribute in node.attribute
    )
    return f"it adds up where it writes, for which CPUs have no {to.name}" if reduces else ""


def _casts_to_float(node: Any) -> bool:
    return node.op_type == "Cast" and _is_onnx(node.domain)


def _same_types(node: Any, schema: Any) -> list[list[str]]:
    """Group a node's values by the type variable that they share."""
    if schema is None:
        return []
    groups: dict[str, list[str]] = {}
    for names, formals in ((node.input, schema.inputs), (node.output, schema.outputs)):
        for name, formal in _formals(names, formals):
            # Each of several values in a variadic place may have a type of its own in a few.
            if name and not formal.type_str.startswith("tensor(") and formal.is_homogeneous:
                groups.setdefault(formal.type_str, []).append(name)
    return list(groups.values())


def _formals(names: Any, formals: Any) -> Iterator[tuple[str, Any]]:
    """Pair what a node names with its operator's parameters, the last of which may be many."""
    for index, name in enumerate(names):
        if formals:
            yield name, formals[min(index, len(formals) - 1)]
