"""Follow numbers through nodes that only move them, by moving the numbers of their places.

Whether q[b, n, s, d] is column n·D + d of row s of a product can be written in many ways (one
Reshape and a Transpose; a Split before; Slice and Squeeze after). Instead of knowing them all, a
tensor that holds the number of each of its elements is sent through the nodes, with sizes put in
for the dynamic dimensions, and what arrives is compared with what should.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from edgekit.optimize import graphs

Array = Any

MOVING = frozenset(
    {"Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose"}
    | {"Unsqueeze"}
)
"""Operators whose first input's elements come out as they are, some of them and elsewhere."""
_COUNTING = MOVING | {"Add", "Cast", "Concat", "ConstantOfShape", "Div", "Mul", "Sub"}
"""What computes a shape out of sizes."""
_SMALL_SIZES = (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47)
_LARGE_SIZES = (2003, 2503, 3001, 3511, 4001, 4507, 5003, 5501, 6007, 6521, 7001, 7507, 8009, 8501)
"""So far from the small ones that what is rounded, or halved a few times, differs too."""
_MOST_ELEMENTS = 1 << 24
_MOST_NUMBERS = 64
_DEEPEST = 40


class Unknown(Exception):
    """A value can't be worked out from constants and sizes."""


class Tracing:
    """Works out small integers and moves elements, with a size put in for each dynamic one.

    Args:
        model: what the values are of.
        large: put large primes in the place of sizes: what comes out the same either way does
            not depend on them.
    """

    def __init__(self, model: ir.Model, *, large: bool = False) -> None:
        self._opset = model.graph.opset_imports.get("", 20)
        self._primes = _LARGE_SIZES if large else _SMALL_SIZES
        self._sizes: dict[str, int] = {}
        self._known: dict[ir.Value, Array] = {}

    def shape(self, value: ir.Value) -> tuple[int, ...]:
        """Give a value's shape, with a prime in the place of each named size.

        Raises:
            Unknown: a size has no name.
        """
        sizes = graphs.known_shape(value)
        if sizes is None or any(size is None or size == "" for size in sizes):
            raise Unknown
        return tuple(size if isinstance(size, int) else self._size(str(size)) for size in sizes)

    def numbered(self, value: ir.Value) -> Array:
        """Give a tensor of a value's shape that holds the number of each element.

        Raises:
            Unknown: its shape isn't known, or it is too large to follow.
        """
        shape = self.shape(value)
        if np.prod(shape, dtype=np.int64) > _MOST_ELEMENTS:
            raise Unknown
        numbers = np.arange(np.prod(shape, dtype=np.int64)).reshape(shape)
        self._known[value] = numbers
        return numbers

    def follow(self, nodes: Iterable[ir.Node], output: ir.Value) -> Array:
        """Send what is known of the first node's input through nodes, to an output of the last.

        Raises:
            Unknown: one of them needs more than constants and sizes.
        """
        for node in nodes:
            self._run(node, depth=0)
        return self._known[output]

    def see(self, value: ir.Value, array: Array) -> None:
        """Take a value for known."""
        self._known[value] = array

    def integers(self, value: ir.Value, *, depth: int = 0) -> Array:
        """Work out a small tensor of integers, a Reshape's target for one.

        Raises:
            Unknown: it rests on more than constants and sizes.
        """
        if value in self._known:
            return self._known[value]
        found = graphs.constant(value)
        if found is not None:
            return found
        node = value.producer()
        if node is None or depth > _DEEPEST or node.domain:
            raise Unknown
        if node.op_type == "Shape":
            return self._sizes_of(node, depth)
        if node.op_type not in _COUNTING or value.dtype not in _WHOLE:
            raise Unknown
        self._run(node, depth=depth + 1)
        if self._known[value].size > _MOST_NUMBERS:
            raise Unknown
        return self._known[value]

    def _sizes_of(self, node: ir.Node, depth: int) -> Array:
        source = node.inputs[0]
        assert source is not None
        shape = self._known[source].shape if source in self._known else self.shape(source)
        start = graphs.attribute(node, "start", default=0)
        end = graphs.attribute(node, "end", default=len(shape))
        return np.asarray(shape[start:end], np.int64)

    def _run(self, node: ir.Node, *, depth: int) -> None:
        arrays = [
            None if value is None else self.integers(value, depth=depth) for value in node.inputs
        ]
        try:
            answers = computed(node, arrays, self._opset)
        except Exception as error:  # whatever numpy raises where sizes don't fit
            raise Unknown from error
        for output, answer in zip(node.outputs, answers, strict=True):
            self._known[output] = answer

    def _size(self, name: str) -> int:
        if name not in self._sizes:
            if len(self._sizes) >= len(self._primes):
                raise Unknown
            self._sizes[name] = self._primes[len(self._sizes)]
        return self._sizes[name]


_WHOLE = (ir.DataType.INT64, ir.DataType.INT32)


def computed(node: ir.Node, arrays: list[Array | None], opset: int) -> list[Array]:
    """Compute one node with ONNX's reference implementation; the order of its inputs."""
    proto = ir.to_proto(node)
    fed = {
        name: array for name, array in zip(proto.input, arrays, strict=True) if array is not None
    }
    ins, outs = (
        [onnx.helper.make_empty_tensor_value_info(name) for name in names if name]
        for names in (dict.fromkeys(proto.input), proto.output)
    )
    graph = onnx.helper.make_graph([proto], "one", ins, outs)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    return list(ReferenceEvaluator(model).run(None, fed))
