"""Read a model into onnx-ir, ask of its values what passes ask, and write it again."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from edgekit.errors import ModelFileError
from edgekit.graph.summary import load_model

Model = ir.Model
FLOAT = ir.DataType.FLOAT
MICROSOFT = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""
IN_ONE_FILE_BYTES = 1_900_000_000
"""Above this a model's weights lie beside it: a protobuf message stops at 2 GB."""
_SMALL_BYTES = 1024
"""What never lies beside it: ONNX Runtime reads shapes and axes out of the model alone."""


def read(path: Path) -> ir.Model:
    """Read a model, its functions written out, its constants lifted and its shapes worked out.

    External data stay where they are until somebody asks for a value.

    Raises:
        NotFound, ModelFileError: it can't be read.
    """
    load_model(path)  # says in a sentence what is wrong with a file
    with _in_a_sentence(path):
        model = ir.load(path)
        common.InlinePass()(model)
        common.LiftConstantsToInitializersPass()(model)
        infer_shapes(model)
    return model


def infer_shapes(model: ir.Model) -> None:
    """Work out the shape of every value that has none; what was written down stays."""
    common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)


def tidy(model: ir.Model) -> None:
    """Remove what nothing needs any more, and bring nodes into an order in which they can run."""
    common.TopologicalSortPass()(model)
    common.RemoveUnusedNodesPass()(model)
    common.RemoveUnusedOpsetsPass()(model)
    common.NameFixPass()(model)


def save(model: ir.Model, path: Path) -> tuple[str, ...]:
    """Write a model; return the names of the files beside it.

    The weights lie beside it where they are too large for one file. Theirs has a part of their hash
    in its name: in a package other weights never have the same name.
    """
    weights = [v.const_value for v in model.graph.initializers.values() if v.const_value]
    if sum(tensor.nbytes for tensor in weights) <= IN_ONE_FILE_BYTES:
        with _in_a_sentence(path):
            in_memory(model)
            ir.save(model, path)
        return ()
    digest = hashlib.sha256()
    for tensor in weights:
        digest.update(np.ascontiguousarray(tensor.numpy()).view(np.uint8).data)
    beside = f"{path.stem}.{digest.hexdigest()[:8]}{path.suffix}.data"
    with _in_a_sentence(path):
        ir.save(model, path, external_data=beside, size_threshold_bytes=_SMALL_BYTES)
    return (beside,)


def in_memory(model: ir.Model) -> None:
    """Bring the external data into the model: the file that they lie in may go."""
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if isinstance(tensor, ir.ExternalTensor):
            value.const_value = ir.Tensor(np.array(tensor.numpy()), tensor.dtype, name=tensor.name)


def constant(value: ir.Value | None) -> np.ndarray[Any, Any] | None:
    """Give the elements of a constant; None for what is computed, or may be fed from outside."""
    if value is None or value.is_graph_input() or value.const_value is None:
        return None
    return np.asarray(value.const_value.numpy())


def scalar(value: ir.Value | None) -> float | None:
    """Give the only element of a float constant; None for anything else."""
    found = constant(value)
    if found is None or found.size != 1 or found.dtype.kind != "f":
        return None
    return float(found.reshape(()))


def known_shape(value: ir.Value | None) -> tuple[int | str | None, ...] | None:
    """Give the sizes of a value, those that differ from call to call by name; None where no rank
    is known."""
    if value is None or value.shape is None:
        return None
    return tuple(d if isinstance(d, int) else d.value for d in value.shape)


def only_use(value: ir.Value) -> ir.Node | None:
    """Give the one node that takes a value; None where several do, or callers see it."""
    uses = tuple(value.uses())
    return uses[0].node if len(uses) == 1 and not value.is_graph_output() else None


def made_by(value: ir.Value | None, operator: str, *, domain: str = "") -> ir.Node | None:
    """Give the node that computes a value, if it is of that operator."""
    node = value.producer() if value is not None else None
    return node if node is not None and (node.op_type, node.domain) == (operator, domain) else None


def attribute(node: ir.Node, name: str, *, default: Any = None) -> Any:
    """Give an attribute's value, as ONNX's default where it isn't written down."""
    found = node.attributes.get(name)
    return default if found is None else found.value


def reduced_axes(node: ir.Node, *, rank: int) -> list[int] | None:
    """Give the axes that a reduction is over, counted from the front, in order; None where they are
    computed, or not kept as axes of size 1."""
    axes = attribute(node, "axes")
    if axes is None and len(node.inputs) > 1:
        found = constant(node.inputs[1])
        axes = None if found is None else found.tolist()
    if axes is None or not attribute(node, "keepdims", default=1):
        return None
    return sorted(int(axis) % rank for axis in axes)


def initializer(graph: ir.Graph, name: str, array: Any) -> ir.Value:
    """Add a constant to a graph, under a name that nothing else has."""
    unique, count = name, 0
    while unique in graph.initializers:
        count += 1
        unique = f"{name}_{count}"
    array = np.asarray(array, order="C")
    tensor = ir.tensor(array, name=unique)
    value = ir.Value(
        name=unique,
        type=ir.TensorType(tensor.dtype),
        shape=ir.Shape(array.shape),
        const_value=tensor,
    )
    graph.register_initializer(value)
    return value


def new_node(
    operator: str,
    inputs: Sequence[ir.Value | None],
    *,
    name: str,
    attributes: Mapping[str, Any] | None = None,
    domain: str = "",
    outputs: int = 1,
) -> ir.Node:
    """Make a node that is in no graph yet."""
    attrs = ir.convenience.convert_attributes(dict(attributes or {}))
    return ir.Node(domain, operator, inputs, attrs, num_outputs=outputs, name=name)


def put_in_place(old: ir.Value, new_nodes: Sequence[ir.Node], new: ir.Value) -> None:
    """Let `new`, of the last of the new nodes, be what `old` was, its name and its place included.

    The nodes of the old one stay until `tidy` finds that nothing needs them.
    """
    producer = old.producer()
    assert producer is not None
    assert producer.graph is not None
    producer.graph.insert_after(producer, new_nodes)
    take_over(old, new)


def take_over(old: ir.Value, new: ir.Value) -> None:
    """Let a value of a node that is in the graph be what another was, its name included."""
    new.shape, new.type = old.shape, old.type
    name, old.name = old.name, f"{old.name}_before"
    new.name = name
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)


def opset(model: ir.Model) -> int:
    """Give the version of ONNX's own operators that a model uses."""
    return model.graph.opset_imports.get("", 1)


def needs_microsoft(model: ir.Model) -> None:
    """Say that the model has operators of ONNX Runtime's own."""
    model.graph.opset_imports.setdefault(MICROSOFT, 1)


@contextlib.contextmanager
def _in_a_sentence(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:  # protobuf, onnx and onnx-ir share no class of errors
        said = " ".join(str(error).split())[:300]
        raise ModelFileError(path=os.fspath(path), problem=said) from error
