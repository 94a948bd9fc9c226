"""Write QuantizeLinear and DequantizeLinear (Q/DQ) into a float model, in ONNX's own opset.

    x ─▶ Conv(w, b) ─▶ Relu ─▶ y

    x ─▶ Q ─▶ DQ ─▶ Conv(DQ(w int8), DQ(b int32)) ─▶ Relu ─▶ y ─▶ Q ─▶ DQ ─▶ y_dequantized

Weights are int8, a scale a channel; a bias is int32 in steps of the input's scale times the
weight's, which is what the products are added up in. Where values become integers is chosen in
`edgekit.quantize.qdq.islands`. What goes into the model and comes out of it stays float32.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np
from onnx import numpy_helper

from edgekit.package.values import QuantRules
from edgekit.quantize.elements import FLOAT, element_types, label
from edgekit.quantize.qdq.depthwise import large_depthwise
from edgekit.quantize.qdq.integer_weights import IntegerWeights
from edgekit.quantize.qdq.islands import (
    PASSING,
    Islands,
    around_products,
    at_inputs,
    bounds_of,
    wiring_of,
)
from edgekit.quantize.qdq.multiplying import (
    MULTIPLYING,
    RECURRENT,
    Multiplying,
    multiplying,
)
from edgekit.quantize.qdq.qdq_nodes import QdqNodes
from edgekit.quantize.qdq.spans import Steps, steps_of, usable
from edgekit.quantize.qdq.stems import float_stems
from edgekit.tensors import Array

Spans = Mapping[str, tuple[float, float]]
"""The lowest and highest value of each activation, by its name."""

_MICROSOFT = "com.microsoft"
_FUSED = frozenset({"Attention", "FusedConv", "FusedGemm", "FusedMatMul"})
"""What onnxruntime or a pass of `edgekit optimize` made of nodes that could have been integers."""
_TABLE = 4096
"""A table that rows are gathered from is worth integers from this many elements on."""
_BETWEEN_FLOATS = "between floats a convolution of single channels is faster in float"


class Placed(msgspec.Struct, frozen=True):
    """What was placed: nodes that compute in integers now, and those that could and why not.

    `rounded` are the values that are made in float and become integers in front of such a node.
    """

    nodes: tuple[str, ...]
    kept: dict[str, str]
    rounded: tuple[str, ...] = ()


def place(
    model: Any, spans: Spans, *, rules: QuantRules, keep_float: Mapping[str, str] | None = None
) -> Placed:
    """Rewrite a float32 model in place so that it computes in integers where that gains.

    Args:
        model: what `elements.read_typed` gave, external data loaded, opset 13 or newer.
        spans: the range of every activation that may become integers.
        rules: what integers must look like, and the operators that gain by them.
        keep_float: nodes that stay in float, by label, and why.
    """
    return _Placing(model, spans, rules, dict(keep_float or {})).placed()


def values_to_measure(model: Any, rules: QuantRules) -> list[str]:
    """List the float32 values whose ranges `place` may ask for, in the order of the graph."""
    types = element_types(model)
    weights = {tensor.name for tensor in model.graph.initializer}
    found: dict[str, None] = {}
    touched: set[str] = set()
    for node in model.graph.node:
        behind = node.op_type in ("Clip", "Relu") and node.input[0] in touched
        if node.domain in ("", "ai.onnx") and (node.op_type in rules.operators or behind):
            names = [name for name in (*node.input, *node.output) if name]
            found |= dict.fromkeys(
                name for name in names if name not in weights and types.get(name) == FLOAT
            )
            touched.update(node.output)
    return list(found)


class _Placing:
    """A model while it is rewritten."""

    def __init__(
        self, model: Any, spans: Spans, rules: QuantRules, keep_float: dict[str, str]
    ) -> None:
        self._graph = model.graph
        self._spans = spans
        self._rules = rules
        self._new = QdqNodes(model.graph, activation=rules.activation)
        self._weights: dict[str, Array] = {
            t.name: numpy_helper.to_array(t)
            for t in self._graph.initializer
            if t.data_type == FLOAT
        }
        self._kept: dict[str, str] = {}
        self._steps: dict[str, Steps] = {}
        stems = float_stems(self._graph, weights=self._weights, fewest=rules.stem_products)
        self._asked = stems | keep_float

    def placed(self) -> Placed:
        nodes = list(self._graph.node)
        products = self._products()
        tables = self._tables()
        wiring = wiring_of(self._graph)
        allowed = [
            index
            for index, node in enumerate(nodes)
            if index not in products
            and index not in tables
            and self._touched(node)
            and self._measured(node)
        ]
        large = large_depthwise(
            self._graph, weights=self._weights, fewest=self._rules.float_depthwise
        )
        around = functools.partial(around_products, depthwise=large)
        choose = at_inputs if self._rules.symmetric else around
        islands = choose(
            self._graph,
            {index: product.activation for index, product in products.items()},
            wiring=wiring,
            allowed=allowed,
            weights=self._weights,
        )
        for index in islands.left:
            self._kept[label(nodes[index])] = _BETWEEN_FLOATS
            del products[index]
        self._spread(islands)
        done = sorted({*products, *tables, *islands.joined})
        for index in done:
            # What they make may be called otherwise, and they are known by it without a name.
            nodes[index].name = label(nodes[index])
        integers = IntegerWeights(self._graph, self._new, weights=self._weights, rules=self._rules)
        for index, product in products.items():
            step = self._steps[nodes[index].input[product.activation]].scale
            integers.multiply(nodes[index], product, step=step)
        for index in tables:
            integers.gather(index)
        self._write_activations(islands, wiring.makers)
        self._leave_out_cuts(islands)
        self._new.finish(self._weights)
        return Placed(tuple(nodes[i].name for i in done), self._kept, tuple(islands.fed))

    def _touched(self, node: Any) -> bool:
        """Tell whether a node may be touched: by the rules, and by whoever asked."""
        if node.domain not in ("", "ai.onnx") or node.op_type not in self._rules.operators:
            return False
        if label(node) in self._asked:
            self._kept[label(node)] = self._asked[label(node)]
            return False
        return True

    def _measured(self, node: Any) -> bool:
        """Tell whether all of a node's values have a range; what has none isn't float32."""
        taken = [name for name in node.input if name and name not in self._weights]
        names = [*(node.input[:1] if node.op_type in PASSING else taken), *node.output]
        return all(name in self._spans and usable(*self._spans[name]) for name in names)

    def _products(self) -> dict[int, Multiplying]:
        found = {}
        for index, node in enumerate(self._graph.node):
            if node.op_type in RECURRENT and node.domain in ("", "ai.onnx"):
                self._kept[label(node)] = (
                    f"{node.op_type} has no kernel that Q/DQ reaches; int8-dynamic may reach it"
                )
            if node.domain == _MICROSOFT and node.op_type in _FUSED:
                self._kept[label(node)] = (
                    f"{node.op_type} has no kernel that Q/DQ reaches: quantize a variant without "
                    "the pass that made it"
                )
            if node.op_type not in MULTIPLYING or not self._touched(node):
                continue
            product = multiplying(node, self._weights)
            why = product if isinstance(product, str) else self._unfit(node, product)
            if isinstance(product, str) or why:
                self._kept[label(node)] = why
            else:
                found[index] = product
        return found

    def _unfit(self, node: Any, product: Multiplying) -> str:
        """Say why a product's values can't become integers."""
        if not np.isfinite(self._weights[node.input[product.weight]]).all():
            return "a weight of it isn't finite"
        name = node.input[product.activation]
        span = self._spans.get(name)
        if span is None:
            return f"nothing was measured of {name}"
        out = self._spans.get(node.output[0])
        if out is None:
            return f"nothing was measured of {node.output[0]}"
        if not usable(*span) or not usable(*out):
            return f"{name if not usable(*span) else node.output[0]} has no finite range"
        return ""

    def _tables(self) -> list[int]:
        """Find the nodes that gather rows of a large stored table."""
        return [
            index
            for index, node in enumerate(self._graph.node)
            if node.op_type == "Gather"
            and node.input[0] in self._weights
            and _axis(node) == 0
            and self._weights[node.input[0]].ndim == 2
            and self._weights[node.input[0]].size >= _TABLE
            and np.isfinite(self._weights[node.input[0]]).all()
            and self._touched(node)
        ]

    def _spread(self, islands: Islands) -> None:
        """Work out the steps of every value that becomes integers."""
        nodes = self._graph.node
        cut = {nodes[j].output[0]: nodes[j] for j in islands.folded.values()}
        for name in (*islands.made, *islands.fed):
            source = name
            while source in islands.same:
                source = islands.same[source]
            bounds = bounds_of(cut[source], self._weights) if source in cut else None
            # Where nothing was measured behind what is cut off, the values in front of it tell.
            low, high = self._spans.get(source) or self._spans[cut[source].input[0]]
            if bounds is not None:
                low, high = 0.0, min(max(high, 0.0), bounds[1])
            capped = bounds is not None and bool(np.isfinite(bounds[1]))
            self._steps[name] = steps_of(low, high, rules=self._rules, capped=capped)

    def _write_activations(self, islands: Islands, makers: Mapping[str, int]) -> None:
        """Put Q and DQ behind values; `makers` has the positions of the nodes that made them at
        first, behind which what makes a gathered table's rows stands now."""
        wiring = wiring_of(self._graph)
        for name in sorted(islands.made):
            index = wiring.makers[name]
            if name in wiring.outside:
                # What comes out of the model keeps its name, and its type.
                exact = self._new.fresh(f"{name}_exact")
                node = self._graph.node[index]
                node.output[list(node.output).index(name)] = exact
                pair = self._new.pair(exact, name, steps=self._steps[name])
                self._new.put(pair, behind=index)
            else:
                self._feed(name, wiring.users.get(name, ()), index)
        for name, places in islands.fed.items():
            self._feed(name, places, makers.get(name))

    def _feed(self, name: str, places: Iterable[tuple[int, int]], maker: int | None) -> None:
        """Put Q and DQ behind a value, for those inputs (node, position) that take it."""
        back = self._new.fresh(f"{name}_dequantized")
        pair = self._new.pair(name, back, steps=self._steps[name])
        self._new.put(pair, behind=maker)
        for index, position in places:
            self._graph.node[index].input[position] = back

    def _leave_out_cuts(self, islands: Islands) -> None:
        """Leave out a Relu behind an Add, which ONNX Runtime drops behind a Conv alone.

        Its Q cuts off the same, since its integers begin at 0.
        """
        for index, behind in islands.folded.items():
            node, cut = self._graph.node[index], self._graph.node[behind]
            if index in islands.joined:
                node.output[0] = cut.output[0]
                self._new.move(behind, index)
                self._new.left_out.add(behind)


def _axis(node: Any) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
