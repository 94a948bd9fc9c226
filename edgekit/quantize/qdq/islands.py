"""Which values of a graph become integers, so that as few as possible turn back in between.

    x ─▶ Q ─▶ DQ ─▶ Conv ─▶ Relu ─▶ Q ─▶ DQ ─▶ MaxPool ─▶ Q ─▶ DQ ─▶ Conv ─▶ …

Q and DQ stand behind the Relu, never between it and its Conv: a range that starts at 0 does what
Relu does, and ONNX Runtime drops it. A node between two that multiply is one of integers where it
only passes values through (one scale on both sides), or adds up what is integers already (a
residual); everything else stays float.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from edgekit.quantize.elements import captured
from edgekit.tensors import Array

PASSING = frozenset(
    {"Expand", "Flatten", "Gather", "GatherElements", "MaxPool", "Reshape", "Resize", "Slice"}
    | {"Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"}
)
"""Operators that hand values on as they are: ONNX Runtime runs them on integers."""

ADDING = frozenset({"Add", "Concat", "LeakyRelu", "Mul", "Sigmoid"})
"""Operators with integer kernels that pay only between integers."""


class Islands(msgspec.Struct, frozen=True):
    """Which values are integers, and how they come to be.

    `made` are those behind which Q and DQ stand for all who use them; `fed` those of which only
    the named inputs (node, position) take the integers. `folded` maps a node to the Relu or Clip
    behind it that its range replaces. `same` maps a value to that whose scale it shares. `joined`
    are the nodes between that compute in integers, `left` products that stay in float because all
    around them is float.
    """

    made: frozenset[str]
    fed: dict[str, tuple[tuple[int, int], ...]]
    folded: dict[int, int]
    same: dict[str, str]
    joined: frozenset[int]
    left: frozenset[int] = frozenset()


class Wiring(msgspec.Struct, frozen=True):
    """Who uses and who makes each value; `outside` are used by more than the graph's own nodes."""

    users: dict[str, list[tuple[int, int]]]
    makers: dict[str, int]
    outside: frozenset[str]


def wiring_of(graph: Any) -> Wiring:
    """Read who uses and who makes each value."""
    users: dict[str, list[tuple[int, int]]] = {}
    makers: dict[str, int] = {}
    outside = {value.name for value in graph.output}
    for index, node in enumerate(graph.node):
        for position, name in enumerate(node.input):
            users.setdefault(name, []).append((index, position))
        makers |= dict.fromkeys(node.output, index)
        outside |= captured(node)
    return Wiring(users, makers, frozenset(outside))


def around_products(
    graph: Any,
    products: Mapping[int, int],
    *,
    wiring: Wiring,
    allowed: Collection[int],
    weights: Mapping[str, Array],
    depthwise: Collection[int] = (),
) -> Islands:
    """Choose the integer values where a kernel of integers also writes integers (CPUs).

    Args:
        graph: the graph, its nodes in order.
        products: the nodes that multiply in integers, and which input is the activation.
        wiring: who uses and makes what.
        allowed: the other nodes that may compute in integers.
        weights: the graph's float32 constants.
        depthwise: the products that pay only where what goes in or comes out is integers anyway.
    """
    nodes = list(graph.node)
    products = dict(products)
    left: set[int] = set()
    folded = {}
    for index in (*products, *(i for i in allowed if nodes[i].op_type == "Add")):
        if (behind := _foldable(nodes, index, wiring, weights)) is not None:
            folded[index] = behind
    folds = set(folded.values())
    passing = {i for i in allowed if _passes(nodes[i], weights) and i not in folds}
    joined = {i for i in allowed if _joins(nodes[i], weights)}

    def end(index: int) -> str:
        return str(nodes[folded.get(index, index)].output[0])

    while True:
        wanted = _wanted(nodes, products, passing, joined, end)
        made = set()
        same: dict[str, str] = {}
        for index, node in enumerate(nodes):
            if index in products:
                # A convolution has no kernel with integers in and floats out; the others have.
                if node.op_type == "Conv" or end(index) in wanted:
                    made.add(end(index))
            elif index in joined:
                made.add(end(index))
            elif (
                index in passing
                and node.input[0] in made
                and (node.op_type == "MaxPool" or wanted.issuperset(node.output))
            ):
                made.update(node.output)
                same |= dict.fromkeys(node.output, node.input[0])
        alone = {i for i in joined if end(i) not in wanted or not _pays(nodes[i], made, weights)}
        lonely = {
            i
            for i in products.keys() & set(depthwise)
            if nodes[i].input[products[i]] not in made and end(i) not in wanted
        }
        if not alone and not lonely:
            break
        joined -= alone
        left |= lonely
        for index in (*alone, *lonely):
            folded.pop(index, None)
            products.pop(index, None)
    fed: dict[str, list[tuple[int, int]]] = {}
    for index, position in products.items():
        name = nodes[index].input[position]
        if name not in made:
            fed.setdefault(name, []).append((index, position))
    for index in joined:
        for position, name in enumerate(nodes[index].input):
            if name not in made:
                fed.setdefault(name, []).append((index, position))
    folded = {i: j for i, j in folded.items() if nodes[j].output[0] in made}
    return Islands(
        made=frozenset(made),
        fed={name: tuple(places) for name, places in fed.items()},
        folded=folded,
        same=same,
        joined=frozenset(joined),
        left=frozenset(left),
    )


def at_inputs(
    graph: Any,
    products: Mapping[int, int],
    *,
    wiring: Wiring,
    allowed: Collection[int],
    weights: Mapping[str, Array],
) -> Islands:
    """Choose the integer values where a compiler fuses what follows itself (TensorRT).

    Q and DQ stand in front of every product, and of the one input of a residual Add that isn't
    the Conv into which it is fused.
    """
    nodes = list(graph.node)
    fed: dict[str, list[tuple[int, int]]] = {}
    for index, position in products.items():
        fed.setdefault(nodes[index].input[position], []).append((index, position))
    joined = set()
    for index in allowed:
        node = nodes[index]
        if node.op_type != "Add" or len(_taken(node, weights)) != 2:
            continue
        fused = [
            position
            for position, name in enumerate(node.input)
            if wiring.makers.get(name) in products
            and nodes[wiring.makers[name]].op_type == "Conv"
            and len(wiring.users[name]) == 1
            and name not in wiring.outside
        ]
        if fused:
            other = 1 - fused[-1]
            fed.setdefault(node.input[other], []).append((index, other))
            joined.add(index)
    return Islands(
        made=frozenset(),
        fed={name: tuple(places) for name, places in fed.items()},
        folded={},
        same={},
        joined=frozenset(joined),
    )


def bounds_of(node: Any, weights: Mapping[str, Array]) -> tuple[float, float] | None:
    """Return where a Relu or Clip cuts off; None where that is computed, or it does neither."""
    if node.op_type == "Relu":
        return 0.0, float("inf")
    if node.op_type != "Clip":
        return None
    found = []
    for position, otherwise in ((1, float("-inf")), (2, float("inf"))):
        name = node.input[position] if len(node.input) > position else ""
        if name and name not in weights:
            return None
        found.append(float(weights[name]) if name else otherwise)
    return found[0], found[1]


def _foldable(
    nodes: list[Any], index: int, wiring: Wiring, weights: Mapping[str, Array]
) -> int | None:
    """Find the Relu or Clip behind a node that a range which starts at 0 replaces."""
    name = nodes[index].output[0]
    users = wiring.users.get(name, [])
    if len(users) != 1 or users[0][1] != 0 or name in wiring.outside:
        return None
    bounds = bounds_of(nodes[users[0][0]], weights)
    return users[0][0] if bounds is not None and bounds[0] == 0 < bounds[1] else None


def _wanted(
    nodes: list[Any],
    products: Mapping[int, int],
    passing: Collection[int],
    joined: Collection[int],
    end: Any,
) -> set[str]:
    """Name the values that a product takes, at once or by way of nodes that pass them on."""
    wanted: set[str] = set()
    for index in range(len(nodes) - 1, -1, -1):
        node = nodes[index]
        if index in products:
            wanted.add(node.input[products[index]])
        elif index in joined and end(index) in wanted:
            wanted.update(node.input)
        elif index in passing and wanted.issuperset(node.output):
            wanted.add(node.input[0])
    return wanted


def _taken(node: Any, weights: Mapping[str, Array]) -> list[str]:
    """List the values that go into a node and aren't constants."""
    return [name for name in node.input if name and name not in weights]


def _pays(node: Any, made: Collection[str], weights: Mapping[str, Array]) -> bool:
    """Tell whether a node between should compute in integers, given those that there are.

    Of a Mul one side may be float: the gate of a squeeze-and-excitation block, which is small.
    """
    integers = [name in made for name in _taken(node, weights)]
    return any(integers) if node.op_type == "Mul" else all(integers)


def _passes(node: Any, weights: Mapping[str, Array]) -> bool:
    if node.op_type not in PASSING or node.input[0] in weights:
        return False
    if node.op_type == "MaxPool":
        return len(node.output) == 1
    if node.op_type == "Resize":
        mode = next((a.s for a in node.attribute if a.name == "mode"), b"nearest")
        return bool(mode == b"nearest")
    return True


def _joins(node: Any, weights: Mapping[str, Array]) -> bool:
    if node.op_type not in ADDING:
        return False
    if node.op_type in ("Add", "Mul"):
        return len(set(_taken(node, weights))) == 2
    return len(_taken(node, weights)) == len(node.input)
