"""What is in an .onnx file: opset, operators, parameters."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit.errors import MissingExtra, ModelFileError
from edgekit.package.values import GraphFacts
from edgekit.tensors import Dim, Signature, TensorSpec, dtype_named
from edgekit.terms import DType, members


def summarize(path: Path) -> GraphFacts:
    """Count operators and parameters of a model, those inside branches, loops and functions too.

    Operators outside ONNX's own domain are named `domain::Operator`. Parameters are the elements
    of all initializers.

    Raises:
        MissingExtra: `onnx` is not installed.
        ModelFileError: the file is not a model, or not one that `onnx` holds valid.
    """
    onnx = _import_onnx()
    model = load_model(path)
    try:
        onnx.checker.check_model(str(path))
    except Exception as error:  # the checker raises several unrelated classes
        raise ModelFileError(path=str(path), problem=_first_line(error)) from error
    graphs = [model.graph]
    operators: Counter[str] = Counter()
    parameters = 0
    while graphs:
        graph = graphs.pop()
        parameters += sum(math.prod(tensor.dims) for tensor in graph.initializer)
        for node in graph.node:
            operators[_operator(node)] += 1
            graphs.extend(_subgraphs(node))
    for function in model.functions:
        for node in function.node:
            operators[_operator(node)] += 1
            graphs.extend(_subgraphs(node))
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
        ModelFileError: the file is empty, truncated or no ONNX model.
    """
    onnx = _import_onnx()
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
    names: dict[str, None] = {}
    model = load_model(path)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                names.setdefault(entry.value)
    return list(names)


def _import_onnx() -> Any:
    try:
        import onnx
    except ImportError:
        raise MissingExtra(module="onnx", extra="build", what="Reading an .onnx file") from None
    return onnx


def _operator(node: Any) -> str:
    return f"{node.domain}::{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type


def _subgraphs(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason")


def precision_of(path: Path) -> str:
    """Name what a model's weights are: int8 where it was quantized, else their usual float type.

    Raises what `load_model` raises.
    """
    onnx = _import_onnx()
    model = load_model(path)
    quantized = {"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul"}
    if any(node.op_type in quantized or "Integer" in node.op_type for node in model.graph.node):
        return "int8"
    names = {
        onnx.TensorProto.FLOAT: "fp32",
        onnx.TensorProto.FLOAT16: "fp16",
        onnx.TensorProto.BFLOAT16: "bf16",
        onnx.TensorProto.DOUBLE: "fp64",
    }
    counts: Counter[str] = Counter({"fp32": 0})
    for tensor in model.graph.initializer:
        if tensor.data_type in names:
            counts[names[tensor.data_type]] += math.prod(tensor.dims)
    return counts.most_common(1)[0][0]


def signature_of(path: Path) -> Signature:
    """Read a model's inputs and outputs; a dimension without a size or a name gets a name.

    Raises:
        ModelFileError: an input or output isn't a tensor of numbers, or what `load_model` raises.
    """
    model = load_model(path)
    initialized = {tensor.name for tensor in model.graph.initializer}
    return Signature(
        inputs=tuple(
            _spec(value, path) for value in model.graph.input if value.name not in initialized
        ),
        outputs=tuple(_spec(value, path) for value in model.graph.output),
    )


def _spec(value: Any, path: Path) -> TensorSpec:
    onnx = _import_onnx()
    element = value.type.tensor_type.elem_type
    name = onnx.helper.tensor_dtype_to_np_dtype(element).name if element else "no tensor"
    if name not in members(DType):
        raise ModelFileError(
            path=str(path), problem=f"{value.name} is {name}; only tensors of numbers are supported"
        )
    shape = tuple(
        dim.dim_value if dim.HasField("dim_value") else Dim(dim.dim_param or f"{value.name}_{axis}")
        for axis, dim in enumerate(value.type.tensor_type.shape.dim)
    )
    return TensorSpec(value.name, dtype_named(name), shape)
