"""What is in an .onnx file: opset, operators, parameters."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit.errors import MissingExtra, ModelFileError, NotFound
from edgekit.package.values import GraphFacts
from edgekit.tensors import Dim, Signature, TensorSpec, dtype_named
from edgekit.terms import DType, members

_QUANTIZED = re.compile(r"Quantize|^Q(Linear|Gemm|Attention)|Integer")
"""Operators that stand in a quantized model alone: DynamicQuantizeLSTM, MatMulInteger, QGemm."""


def summarize(path: Path) -> GraphFacts:
    """Count operators and parameters of a model, those inside branches, loops and functions too.

    Operators outside ONNX's own domain are named `domain::Operator`. Parameters are the elements
    of all initializers.

    Raises:
        MissingExtra: `onnx` is not installed.
        NotFound: there is no such file.
        ModelFileError: the file is not a model, or not one that `onnx` holds valid.
    """
    onnx = _import_onnx()
    model = load_model(path)
    try:
        onnx.checker.check_model(str(path))
    except Exception as error:  # the checker raises several unrelated classes
        raise ModelFileError(path=str(path), problem=_first_line(error)) from error
    operators = Counter(map(_operator, _nodes(model)))
    parameters = sum(
        math.prod(tensor.dims)
        for graph in _graphs(model)
        for tensor in (*graph.initializer, *graph.sparse_initializer)
    )
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    return GraphFacts(
        opset=opset,
        nodes=sum(operators.values()),
        parameters=parameters,
        operators=dict(sorted(operators.items())),
    )


def load_model(path: Path) -> Any:
    """Read a model's structure, leaving external data where it is.

    Raises:
        MissingExtra: `onnx` is not installed.
        NotFound: there is no such file.
        ModelFileError: the file is empty, truncated or no ONNX model.
    """
    onnx = _import_onnx()
    if not path.exists():
        raise NotFound(path=str(path), expected="an .onnx file")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's class for this differs between its versions
        raise ModelFileError(
            path=str(path), problem=f"it is truncated or no ONNX file ({_first_line(error)})"
        ) from error
    if not model.graph.node and not model.graph.output:
        raise ModelFileError(path=str(path), problem="it holds no graph")
    return model


def external_files(path: Path) -> list[str]:
    """List the files beside `path` that hold its external data, in order of first use.

    Raises what `load_model` raises.
    """
    return list(
        dict.fromkeys(
            entry.value
            for tensor in _tensors(load_model(path))
            for entry in tensor.external_data
            if entry.key == "location"
        )
    )


def precision_of(path: Path) -> str:
    """Name what a model's weights are: int8 or int4 where it was quantized, else their usual float.

    Raises what `load_model` raises.
    """
    onnx = _import_onnx()
    model = load_model(path)
    kinds = {tensor.data_type for tensor in _tensors(model)}
    operators = {node.op_type for node in _nodes(model)}
    if "MatMulNBits" in operators or kinds & {onnx.TensorProto.INT4, onnx.TensorProto.UINT4}:
        return "int4"
    if any(map(_QUANTIZED.search, operators)):
        return "int8"
    names = {
        onnx.TensorProto.FLOAT: "fp32",
        onnx.TensorProto.FLOAT16: "fp16",
        onnx.TensorProto.BFLOAT16: "bf16",
        onnx.TensorProto.DOUBLE: "fp64",
    }
    counts: Counter[str] = Counter({"fp32": 0})
    for tensor in _tensors(model):
        if tensor.data_type in names:
            counts[names[tensor.data_type]] += math.prod(tensor.dims)
    return counts.most_common(1)[0][0]


def signature_of(path: Path) -> Signature:
    """Read a model's inputs and outputs; a dimension without a size or a name gets a name.

    Raises:
        ModelFileError: an input or output isn't a tensor of numbers of a known rank, or what
            `load_model` raises.
    """
    model = load_model(path)
    graph = model.graph
    initialized = {tensor.name for tensor in graph.initializer}
    initialized |= {tensor.values.name for tensor in graph.sparse_initializer}
    return Signature(
        inputs=tuple(_spec(value, path) for value in graph.input if value.name not in initialized),
        outputs=tuple(_spec(value, path) for value in graph.output),
    )


def _import_onnx() -> Any:
    try:
        import onnx
    except ImportError:
        raise MissingExtra(module="onnx", extra="build", what="Reading an .onnx file") from None
    return onnx


def _operator(node: Any) -> str:
    return f"{node.domain}::{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type


def _graphs(model: Any) -> Iterator[Any]:
    """Walk through the main graph and every graph inside a node, functions' nodes included."""
    graphs = [model.graph, *(g for f in model.functions for n in f.node for g in _subgraphs(n))]
    while graphs:
        graph = graphs.pop()
        yield graph
        graphs.extend(inner for node in graph.node for inner in _subgraphs(node))


def _subgraphs(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _nodes(model: Any) -> Iterator[Any]:
    for function in model.functions:
        yield from function.node
    for graph in _graphs(model):
        yield from graph.node


def _tensors(model: Any) -> Iterator[Any]:
    """Walk through everything that holds numbers: initializers, and tensors in attributes."""
    for graph in _graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in _nodes(model):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason")


def _spec(value: Any, path: Path) -> TensorSpec:
    onnx = _import_onnx()
    tensor = value.type.tensor_type
    known = tensor.elem_type in onnx.TensorProto.DataType.values() and tensor.elem_type
    name = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name if known else "no tensor"
    if name not in members(DType):
        raise ModelFileError(
            path=str(path), problem=f"{value.name} is {name}; only tensors of numbers are supported"
        )
    if not tensor.HasField("shape"):
        raise ModelFileError(
            path=str(path), problem=f"{value.name} doesn't say how many dimensions it has"
        )
    shape = tuple(
        dim.dim_value
        if dim.HasField("dim_value") and dim.dim_value >= 0
        else Dim(dim.dim_param or f"{value.name}_{axis}")
        for axis, dim in enumerate(tensor.shape.dim)
    )
    return TensorSpec(value.name, dtype_named(name), shape)
