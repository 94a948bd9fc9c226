"""Parts of a loaded graph that compute in float between integers, and what turns numbers around.

QLinearConv ─▶ DequantizeLinear ─▶ HardSigmoid ─▶ Mul ─▶ QuantizeLinear ─▶ QLinearConv
               └────────────────── an island ──────────────────┘
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edgekit.graph.loaded import LoadedNode
from edgekit.graph.multiplying import is_product
from edgekit.graph.ownership import CONVERSIONS

_INTO_INTEGERS = ("QuantizeLinear", "DynamicQuantizeLinear")


class Island(msgspec.Struct, frozen=True):
    """Nodes that hang together in float, by their places in the loaded graph, and the conversions
    into it and out of it. `between` says that there are integers on both sides.

    `unfused` are products whose operands are all turned back from integers in front of them: pairs
    of Q and DQ that became no integer kernel.
    """

    nodes: tuple[int, ...]
    conversions: tuple[int, ...]
    between: bool
    unfused: tuple[int, ...] = ()


def islands(loaded: Sequence[LoadedNode]) -> list[Island]:
    """Find the parts that compute in float with integers before or behind them.

    A conversion that serves several of them stands with the first.
    """
    makers = {name: place for place, node in enumerate(loaded) for name in node.outputs if name}
    floats = [place for place, node in enumerate(loaded) if _in_float(node)]
    part = {place: place for place in floats}

    def root(place: int) -> int:
        while part[place] != place:
            part[place] = part[part[place]]
            place = part[place]
        return place

    for place in floats:
        for name in loaded[place].inputs:
            maker = makers.get(name)
            if maker in part:
                one, other = sorted((root(place), root(maker)))
                part[other] = one
    into: dict[int, list[int]] = {}
    out_of: dict[int, list[int]] = {}
    taken: set[int] = set()
    for place, node in enumerate(loaded):
        for name in node.inputs:
            maker = makers.get(name)
            if maker is None:
                continue
            kinds = loaded[maker].sized.operator, node.sized.operator
            if place in part and kinds[0] == "DequantizeLinear" and maker not in taken:
                into.setdefault(root(place), []).append(maker)
                taken.add(maker)
            elif maker in part and kinds[1] in _INTO_INTEGERS and place not in taken:
                out_of.setdefault(root(maker), []).append(place)
                taken.add(place)
    return [
        Island(
            nodes=tuple(place for place in floats if root(place) == one),
            conversions=(*into.get(one, ()), *out_of.get(one, ())),
            between=one in into and one in out_of,
            unfused=tuple(
                place for place in floats if root(place) == one and _unfused(loaded, makers, place)
            ),
        )
        for one in dict.fromkeys((*into, *out_of))
    ]


def _in_float(node: LoadedNode) -> bool:
    first = node.sized.input(0) or node.sized.output()
    return (
        node.sized.operator not in CONVERSIONS
        and first is not None
        and first.dtype.startswith(("float", "bfloat"))
    )


def _unfused(loaded: Sequence[LoadedNode], makers: dict[str, int], place: int) -> bool:
    """Tell whether a product's two operands both come straight from a DequantizeLinear."""
    node = loaded[place]
    if not is_product(node.sized.operator):
        return False
    operands = [makers.get(name) for name in node.inputs[:2]]
    return all(
        maker is not None and loaded[maker].sized.operator == "DequantizeLinear"
        for maker in operands
    )
