"""Which nodes a variant would be faster with in float: what they cost, less what takes their place.

A node that is left in float takes what it takes in the parent. Where its neighbours stay integers
it needs a conversion on each side that takes integers now, and its layout may change there. What
that costs is read off the variant's own conversions. Neighbours that are both left in float need
none between them: what is told is less than what is won.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import Any

from edgekit.graph.multiplying import is_product
from edgekit.graph.ownership import CONVERSIONS, LAYOUTS, operators_of, shared_groups
from edgekit.measure.slowness.running import RanNode, RanVariant
from edgekit.measure.slowness.values import LeftInFloat
from edgekit.package.values import Recipe

_WORTH = 0.03
"""What wins less than this share of what all nodes take isn't worth a try."""
_SURE_US = 2.0
"""A profile counts in whole µs: a node that wins less may win nothing."""
_SIDES = 2.0
"""A conversion, and values laid out anew: together about two passes over what goes through."""
_MIXED = "-mixed"
_MOST = 24
"""How many are told, those that win most: what would win in more is better in float whole."""


def left_in_float(
    source: Any, parent: RanVariant, variant: RanVariant, *, longer_us: float
) -> LeftInFloat | None:
    """Find the nodes of a float model that would win time in float.

    None where it is too little, or where the whole model in float would still be faster.

    Args:
        source: the float model that both are of.
        parent: its nodes as they ran, with owners.
        variant: the variant's.
        longer_us: how many µs a run of the variant takes more than one of the float model.
    """
    sides = [[node.owner for node in side.nodes] for side in (parent, variant)]
    groups = shared_groups(source, *sides)
    there, here = (_by_group(side.nodes, groups) for side in (parent, variant))
    element_us = _element_us(variant.nodes)
    won: dict[str, float] = {}
    for group, nodes in here.items():
        if group not in there or not any(map(_computes_integers, nodes)):
            continue
        gain = sum(node.us for node in nodes) - sum(node.us for node in there[group])
        gain -= _SIDES * element_us * _through(nodes)
        if gain >= _SURE_US:
            won[group] = gain
    best = sorted(won, key=lambda group: -won[group])[:_MOST]
    total = sum(won[group] for group in best)
    if total < max(longer_us, _WORTH * sum(node.us for node in variant.nodes)):
        return None
    named = [name for name in operators_of(source) if groups.get(name) in best]
    return LeftInFloat(tuple(named), total)


def quantize_options(recipe: Recipe, nodes: Sequence[str], *, name: str, of: str) -> str:
    """Say how `edgekit quantize` leaves nodes in float, beside those that a variant left already.

    Args:
        recipe: how the variant was made.
        nodes: what is to stay in float.
        name: the variant's name; the new one has another.
        of: the variant that it was made from.
    """
    mixed = f"{name.removesuffix(_MIXED)}{_MIXED}"
    words = [
        "--scheme",
        recipe.scheme,
        "--name",
        mixed,
        *(["--overwrite"] if mixed == name else []),
    ]
    words += ["--variant", of] if of else []
    kept = dict.fromkeys((*recipe.keep_float, *nodes))
    return shlex.join([*words, *(word for one in kept for word in ("--keep-float", one))])


def _by_group(nodes: Sequence[RanNode], groups: dict[str, str]) -> dict[str, list[RanNode]]:
    found: dict[str, list[RanNode]] = {}
    for node in nodes:
        if node.owner is not None and node.owner.label in groups:
            found.setdefault(groups[node.owner.label], []).append(node)
    return found


def _computes_integers(node: RanNode) -> bool:
    """Tell what was in float: a kernel of integers. What only has conversions around it is."""
    operator = node.kernel.operator
    integers = "Integer" in operator or operator.startswith(("QLinear", "DynamicQuantize"))
    return operator not in CONVERSIONS | LAYOUTS and (integers or _takes_integers(node))


def _takes_integers(node: RanNode) -> bool:
    return any(kind in ("uint8", "int8") for kind, _ in node.kernel.inputs[:1])


def _gives_integers(node: RanNode) -> bool:
    return any(kind in ("uint8", "int8") for kind, _ in node.kernel.outputs[:1])


def _through(nodes: Sequence[RanNode]) -> int:
    """Count the elements for which a group of nodes would need conversions, in float."""
    products = [node for node in nodes if is_product(node.kernel.operator)]
    first, last = (products or list(nodes))[0], nodes[-1]
    ends = []
    if _takes_integers(first) and first.kernel.operator not in CONVERSIONS:
        ends.append(first.kernel.inputs[0])
    # What ends with a conversion has it already.
    if _gives_integers(last) and last.kernel.operator not in CONVERSIONS:
        ends.append(last.kernel.outputs[0])
    return sum(_elements(shape) for _, shape in ends)


def _element_us(nodes: Sequence[RanNode]) -> float:
    """Tell what a conversion takes for an element, in this very run; nothing where there is none:
    what is turned around inside a kernel needs none in float."""
    some = [node for node in nodes if node.kernel.operator in CONVERSIONS and node.kernel.inputs]
    elements = sum(_elements(node.kernel.inputs[0][1]) for node in some)
    return sum(node.us for node in some) / elements if elements else 0.0


def _elements(shape: Sequence[int]) -> int:
    return math.prod(shape)
