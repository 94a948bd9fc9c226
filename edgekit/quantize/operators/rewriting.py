"""Replace nodes of a model by others, one after the other, and give their weights new forms."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from edgekit.errors import ModelFileError
from edgekit.quantize.additions import Names
from edgekit.quantize.elements import label
from edgekit.quantize.folding_weights import drop_unused
from edgekit.tensors import Array

CONTRIB = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""

_FIRST_IR = 4
"""The IR version from which on a weight need not be listed among the inputs."""


class Rewriting:
    """A model whose nodes are being replaced; `finish` writes them into it.

    New nodes are called by the label of the one that they stand for, or begin with it.

    Attributes:
        model: what is rewritten, its weights loaded; unchanged but for new weights until `finish`.
        nodes: its nodes.
        weights: its initializers, by name.
        shapes: the shapes of its values as far as they are known; None for a size that isn't.
        spelled_out: the names of float32 values that new nodes make of stored weights, by weight.
    """

    def __init__(self, model: Any, *, path: str) -> None:
        self.model = model
        self.nodes = list(model.graph.node)
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self.shapes = _shapes(model.graph)
        self.spelled_out: dict[tuple[str, ...], str] = {}
        self._path = path
        self.fresh = Names(model.graph).fresh
        self._replaced: dict[int, list[Any]] = {}
        self._stored: dict[tuple[str, str, tuple[int, ...]], str] = {}
        self._for: Any = None
        self._made: list[Any] = []

    def begin(self, node: Any) -> None:
        """Start replacing a node: what `add` makes from here on stands in its place."""
        self._for, self._made = node, []
        self._replaced[id(node)] = self._made

    def add(
        self,
        operator: str,
        inputs: list[str],
        *,
        outputs: list[str] | None = None,
        domain: str = "",
        count: int = 1,
        attributes: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Add a node to those that stand for the present one, and return its outputs' names.

        One that makes an output of the node itself has its name; new outputs, `count` of them, and
        other nodes get a name that begins with it.
        """
        called = label(self._for)
        if outputs is None:
            stem = f"{called}_{operator}"
            outputs = [self.fresh(stem if count == 1 else f"{stem}_{i}") for i in range(count)]
        own = bool(set(outputs) & {name for name in self._for.output if name})
        name = called if own else self.fresh(f"{called}_{operator}_node")
        node = helper.make_node(operator, inputs, outputs, name=name, domain=domain)
        for key, value in (attributes or {}).items():
            node.attribute.append(helper.make_attribute(key, value))
        self._made.append(node)
        return list(outputs)

    def again(self, inputs: list[str]) -> None:
        """Add the present node itself, with other inputs."""
        node = _copy(self._for)
        node.ClearField("input")
        node.input.extend(inputs)
        self._made.append(node)

    def constant(self, name: str, array: Array) -> str:
        """Store an initializer and return its name; equal ones are stored once."""
        array = np.ascontiguousarray(array)
        digest = hashlib.sha256(array.tobytes()).hexdigest()
        key = (digest, array.dtype.str, array.shape)
        if key not in self._stored:
            named = self.fresh(name)
            self.model.graph.initializer.append(numpy_helper.from_array(array, named))
            self._stored[key] = named
        return self._stored[key]

    def array(self, name: str) -> Array | None:
        """Return a float32 weight; None for another type, or a value that is computed.

        Raises:
            ModelFileError: it has NaN or infinities, which no integer stands for.
        """
        tensor = self.weights.get(name)
        if tensor is None or tensor.data_type != TensorProto.FLOAT:
            return None
        array: Array = numpy_helper.to_array(tensor)
        if not np.isfinite(array).all():
            raise ModelFileError(
                path=self._path, problem=f"its weight {name} has NaN or infinite numbers"
            )
        return array

    def finish(self) -> None:
        """Write the new nodes into the model, and take out what nothing uses any more."""
        graph = self.model.graph
        nodes = [
            made for node in self.nodes for made in self._replaced.get(id(node)) or [_copy(node)]
        ]
        del graph.node[:]
        graph.node.extend(nodes)
        drop_unused(graph)
        left = {name for node in graph.node for name in node.output}
        infos = [value for value in graph.value_info if value.name in left]
        copies = [type(value).FromString(value.SerializeToString()) for value in infos]
        del graph.value_info[:]
        graph.value_info.extend(copies)
        domains = {opset.domain for opset in self.model.opset_import}
        if CONTRIB not in domains and any(node.domain == CONTRIB for node in graph.node):
            self.model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
        self.model.ir_version = max(self.model.ir_version, _FIRST_IR)


def _copy(node: Any) -> Any:
    return NodeProto.FromString(node.SerializeToString())


def _shapes(graph: Any) -> dict[str, tuple[int | None, ...]]:
    found: dict[str, tuple[int | None, ...]] = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.HasField("tensor_type") and value.type.tensor_type.HasField("shape"):
            sizes = value.type.tensor_type.shape.dim
            found[value.name] = tuple(
                size.dim_value if size.HasField("dim_value") else None for size in sizes
            )
    for tensor in graph.initializer:
        found[tensor.name] = tuple(tensor.dims)
    return found
