"""Take what scales and shifts channels into the weights before it, which no integer kernel would.

    x ─▶ Conv(w, b) ─▶ BatchNormalization ─▶ y    ▶    x ─▶ Conv(w', b') ─▶ y
    x ─▶ MatMul(w) ─▶ Add(b) ─▶ Mul(g) ─▶ y       ▶    x ─▶ MatMul(w') ─▶ Add(b') ─▶ y

    w' = w · factor,   b' = b · factor + shift              an output channel each

A batch norm (Ioffe & Szegedy 2015) has the factor g / √(var + ε) and the shift h - mean · factor; a
LayerScale (Touvron et al. 2021) is a Mul by one number a channel. ONNX Runtime takes some of them
in in float, and none once Q/DQ stands between; what is left keeps values in float, too. Weights of
int8 have a scale a channel, so that they are as fine as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import numpy_helper

from edgekit.quantize.constants import Constants, float_attribute, whole_attribute
from edgekit.quantize.elements import FLOAT, label
from edgekit.quantize.folding_weights import drop_unused
from edgekit.quantize.qdq.islands import wiring_of
from edgekit.quantize.qdq.multiplying import Multiplying, bias_row, multiplying
from edgekit.tensors import Array

_EPSILON = 1e-5  # ONNX's default
_MOST_BETWEEN = 4
_ONNX = ("", "ai.onnx")


def fold_channel_scales(model: Any) -> int:
    """Fold every batch norm, and every scale or shift of channels, that may be; return how many.

    One may be where all its numbers are stored, and so are the weights that make its input for it
    alone; a Transpose, or a pooling that averages real values, may stand between. What is added to
    all channels alike stays, and what goes behind a MatMul that has no bias. A matrix that is read
    elsewhere, as a table of words may be, isn't copied.

    Args:
        model: what `elements.read_typed` gave, weights loaded; edited in place. Nodes keep their
            labels.
    """
    folding = _Folding(model.graph)
    count = sum(folding.fold(node) for node in model.graph.node)
    if count:
        drop_unused(model.graph)
    return count


@dataclass(frozen=True)
class _Line:
    """x · factor + shift, both float64 [channels] or [1], of a value's `axis`; None if it is the
    same for all of it."""

    factor: Array
    shift: Array
    axis: int | None


class _Folding:
    """A graph while scales go into its weights; nodes that are gone make nothing any more."""

    def __init__(self, graph: Any) -> None:
        self._constants = Constants(graph)
        self._weights: dict[str, Array] = {
            t.name: numpy_helper.to_array(t) for t in graph.initializer if t.data_type == FLOAT
        }
        self._wiring = wiring_of(graph)
        self._makers = {name: node for node in graph.node for name in node.output if name}
        self._ranks = {
            value.name: len(value.type.tensor_type.shape.dim)
            for value in (*graph.input, *graph.value_info, *graph.output)
            if value.type.tensor_type.HasField("shape")
        }

    def fold(self, node: Any) -> bool:
        """Fold a node into the weights before it; False, and nothing is changed, where that can't
        be done."""
        for source, line in self._lines(node):
            reached = self._reached(source, line)
            if reached is not None and self._scale(*reached, line):
                last = self._makers[source]
                last.name = label(last)  # without a name it is known by what it makes
                last.output[0], node.output[0] = node.output[0], ""
                self._makers[last.output[0]] = last
                return True
        return False

    def _lines(self, node: Any) -> Iterator[tuple[str, _Line]]:
        """Read a node as lines of what goes in."""
        if node.domain not in _ONNX:
            return
        if node.op_type == "BatchNormalization":
            numbers = [self._weights.get(name) for name in node.input[1:5]]
            if len(node.output) == 1 and not whole_attribute(node, "training_mode", 0):
                yield from self._normed(node, numbers)
        elif node.op_type in ("Add", "Div", "Mul", "Sub"):
            for place in (0, 1):
                found = self._read(node, place)
                if found is not None:
                    yield node.input[place], found

    @staticmethod
    def _normed(node: Any, numbers: list[Array | None]) -> Iterator[tuple[str, _Line]]:
        gamma, beta, mean, variance = (None if n is None else n.astype(np.float64) for n in numbers)
        if gamma is None or beta is None or mean is None or variance is None:
            return
        factor = gamma / np.sqrt(variance + float_attribute(node, "epsilon", _EPSILON))
        yield node.input[0], _Line(factor, beta - mean * factor, 1)

    def _read(self, node: Any, place: int) -> _Line | None:
        """Read what a node does to one of its sides, the other being a constant."""
        array = self._weights.get(node.input[1 - place])
        rank = self._ranks.get(node.input[place])
        if array is None or rank is None or array.ndim > rank or array.size == 0:
            return None
        axes = [rank - array.ndim + at for at, size in enumerate(array.shape) if size != 1]
        if len(axes) > 1:
            return None
        axis = axes[0] if axes else None
        numbers, one, none = array.astype(np.float64).reshape(-1), np.ones(1), np.zeros(1)
        if node.op_type == "Mul":
            return _Line(numbers, none, axis)
        if node.op_type == "Div":
            return _Line(1 / numbers, none, axis) if place == 0 and numbers.all() else None
        if axis is None:
            return None
        if node.op_type == "Add":
            return _Line(one, numbers, axis)
        return _Line(one, -numbers, axis) if place == 0 else _Line(-one, numbers, axis)

    def _reached(self, value: str, line: _Line) -> tuple[Any, Any | None] | None:
        """Go back from a value to the weighted node that makes it, and the Add of its bias."""
        axis = line.axis
        for _ in range(_MOST_BETWEEN):
            node = self._maker(value)
            if node is None:
                return None
            if node.op_type in ("Conv", "ConvTranspose", "Gemm"):
                return (node, None) if axis in (None, 1) else None
            if node.op_type == "MatMul":
                last = self._ranks.get(value, 0) - 1
                return (node, None) if axis in (None, last) else None
            if node.op_type == "Add":
                product, last = self._added_to(node), self._ranks.get(value, 0) - 1
                return (product, node) if product is not None and axis in (None, last) else None
            if node.op_type == "Transpose":
                turned = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
                if turned is None:
                    return None
                axis = None if axis is None else turned[axis]
            elif axis not in (None, 1) or not _averages(node):
                return None
            value = node.input[0]
        return None

    def _maker(self, value: str) -> Any | None:
        """Find what makes a value, for one other node alone."""
        node = self._makers.get(value)
        alone = len(self._wiring.users.get(value, ())) == 1 and value not in self._wiring.outside
        return node if alone and node is not None and node.domain in _ONNX else None

    def _added_to(self, node: Any) -> Any | None:
        """Find the MatMul whose stored bias an Add adds."""
        for place in (0, 1):
            product = self._maker(node.input[place])
            if product is not None and product.op_type == "MatMul":
                return product if node.input[1 - place] in self._weights else None
        return None

    def _scale(self, node: Any, added: Any | None, line: _Line) -> bool:
        product = multiplying(node, self._weights)
        if isinstance(product, str) or product.axis is None or product.beta == 0:
            return False
        if any(len(numbers) not in (1, product.columns) for numbers in (line.factor, line.shift)):
            return False
        if node.op_type in ("Gemm", "MatMul") and self._shared(node.input[1]):
            return False
        shifted = bool(line.shift.any() or np.all(line.factor == 1))
        if node.op_type == "MatMul" and added is None and shifted:
            return False  # what is added is its bias
        holder, place = (node, 2) if added is None else (added, self._bias_place(added))
        bias = self._bias(holder, place, product)
        if bias is None:
            return False
        weight = self._weights[node.input[1]].astype(np.float64)
        along = [-1 if axis == product.axis else 1 for axis in range(weight.ndim)]
        weight = (weight * line.factor.reshape(along)).astype(np.float32)
        moved = (bias * line.factor + line.shift / product.beta).astype(np.float32)
        if not np.isfinite(weight).all() or not np.isfinite(moved).all():
            return False
        self._put(node, 1, weight)
        if moved.any() or (place < len(holder.input) and holder.input[place]):
            self._put(holder, place, moved)
        return True

    def _shared(self, name: str) -> bool:
        return len(self._wiring.users.get(name, ())) > 1 or name in self._wiring.outside

    def _bias_place(self, added: Any) -> int:
        return next(place for place in (0, 1) if added.input[place] in self._weights)

    def _bias(self, node: Any, place: int, product: Multiplying) -> Array | None:
        """Return the bias that a node adds, float64 [columns], zeros where it has none."""
        name = node.input[place] if place < len(node.input) else ""
        if not name:
            return np.zeros(product.columns)
        row = bias_row(self._weights[name], product.columns)
        return None if row is None else row.astype(np.float64)

    def _put(self, node: Any, place: int, array: Array) -> None:
        self._constants.put(node, place, array=np.ascontiguousarray(array))
        self._weights[node.input[place]] = array


def _averages(node: Any) -> bool:
    """Tell whether a node averages within channels, of real values alone."""
    if node.op_type != "AveragePool":
        return bool(node.op_type == "GlobalAveragePool")
    given = {attribute.name: attribute for attribute in node.attribute}
    padded = "pads" in given and any(given["pads"].ints)
    fitted = "auto_pad" in given and given["auto_pad"].s not in (b"NOTSET", b"VALID")
    return not padded and not fitted and not whole_attribute(node, "ceil_mode", 0)
