"""Where a variant's time differs from its float parent's: every node is counted, once.

Nodes are compared a group at a time (`edgekit.graph.ownership`): what the variant's nodes of a
group take, less what the parent's take. A group's own kernels, what is turned into integers and
back around them, and what the parent has in one kernel and the variant has not, are told apart.
What all entries add up to is the difference between the two.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from edgekit.graph.islands import Island, islands
from edgekit.graph.multiplying import is_product
from edgekit.graph.ownership import CONVERSIONS, LAYOUTS, operators_of, shared_groups
from edgekit.measure.slowness.running import RanNode, RanVariant
from edgekit.terms import SlowReason

_COPIES = frozenset({"MemcpyFromHost", "MemcpyToHost"})


class Entry(msgspec.Struct, frozen=True):
    """A difference in µs, negative where the variant gains: of which kind, by which nodes.

    `about` are the operators that it is about, in the order of the graph, `conversions` how many of
    the nodes turn numbers into integers or back, `parent_us` what the parent's nodes take that were
    taken off, `parent_operator` the parent's kernels in words.
    """

    kind: SlowReason
    us: float
    nodes: tuple[str, ...]
    about: tuple[str, ...] = ()
    conversions: int = 0
    parent_us: float = 0.0
    parent_operator: str = ""


def ledger(source: Any, parent: RanVariant, variant: RanVariant, *, ort_name: str) -> list[Entry]:
    """Count where a variant's time differs from its parent's.

    Args:
        source: the float model that both are of.
        parent: its nodes as they ran, with owners.
        variant: the variant's.
        ort_name: ONNX Runtime's name of the provider that was asked for.
    """
    return _Ledger(source, parent, variant, ort_name).entries()


def added_nodes(source: Any, parent: RanVariant, variant: RanVariant) -> frozenset[int]:
    """Tell the places of the nodes that a model could do without: those that turn numbers around,
    lay values out anew or copy them, and those that the parent has in the kernel of another."""
    operators = operators_of(source)
    in_parent = _named(parent)
    return frozenset(
        place
        for place, node in enumerate(variant.nodes)
        if node.kernel.operator in _COPIES
        or _lays_out(node)
        or _converts(node, operators)
        or _is_apart(node, in_parent)
    )


def _named(ran: RanVariant) -> frozenset[str]:
    return frozenset(node.owner.label for node in ran.nodes if node.owner and node.owner.named)


def _lays_out(node: RanNode) -> bool:
    named = node.owner is not None and node.owner.named
    return node.kernel.operator in LAYOUTS and not named


def _converts(node: RanNode, operators: Mapping[str, str]) -> bool:
    """Tell what turns numbers around, and what brings a kernel's integers to scale: the Cast and
    Mul behind a ConvInteger."""
    owner, operator = node.owner, node.kernel.operator
    around = (
        owner is not None
        and owner.named
        and is_product(operators.get(owner.label, ""))
        and operator in ("Cast", "Mul")
    )
    return operator in CONVERSIONS or around


def _is_apart(node: RanNode, in_parent: Collection[str]) -> bool:
    """Tell whether the parent has no kernel for a node: it is part of another one's."""
    if is_product(node.kernel.operator):
        return False
    owner = node.owner
    return owner is None or not owner.named or owner.label not in in_parent


class _Ledger:
    """Which nodes are still to be counted, and what was entered so far."""

    def __init__(self, source: Any, parent: RanVariant, variant: RanVariant, ort_name: str) -> None:
        self._parent, self._variant, self._ort_name = parent, variant, ort_name
        self._operators = operators_of(source)
        sides = [[node.owner for node in side.nodes] for side in (parent, variant)]
        self._groups = shared_groups(source, *sides)
        self._in_parent = _named(parent)
        self._islands = islands([node.loaded for node in variant.nodes])
        self._left = dict(enumerate(variant.nodes))
        self._entries: list[Entry] = []

    def entries(self) -> list[Entry]:
        self._elsewhere()
        self._layouts()
        for island in self._islands:
            self._island(island)
        self._conversions()
        self._kernels()
        more = self._variant.beside_us - self._parent.beside_us
        self._enter("small nodes", more, ())
        return [entry for entry in self._entries if entry.us]

    def _enter(
        self,
        kind: SlowReason,
        us: float,
        nodes: Sequence[RanNode],
        *,
        about: Sequence[str] = (),
        parent_us: float = 0.0,
        parent_operator: str = "",
    ) -> None:
        self._entries.append(
            Entry(
                kind,
                us,
                tuple(node.kernel.name for node in nodes),
                tuple(dict.fromkeys(about or [node.kernel.operator for node in nodes])),
                sum(node.kernel.operator in CONVERSIONS for node in nodes),
                parent_us,
                parent_operator,
            )
        )

    def _take(self, places: Sequence[int]) -> list[RanNode]:
        """Take nodes out of those that are left."""
        return [self._left.pop(place) for place in places if place in self._left]

    def _elsewhere(self) -> None:
        def apart(node: RanNode) -> bool:
            there = node.kernel.provider
            return node.kernel.operator in _COPIES or (bool(there) and there != self._ort_name)

        before = sum(node.us for node in self._parent.nodes if apart(node))
        nodes = self._take([place for place, node in self._left.items() if apart(node)])
        if nodes or before:
            self._enter("another provider", _us(nodes) - before, nodes, parent_us=before)
        self._parent_nodes = [node for node in self._parent.nodes if not apart(node)]

    def _layouts(self) -> None:
        before = sum(node.us for node in self._parent_nodes if _lays_out(node))
        nodes = self._take([place for place, node in self._left.items() if _lays_out(node)])
        self._enter("reordering", _us(nodes) - before, nodes, parent_us=before)
        self._parent_nodes = [node for node in self._parent_nodes if not _lays_out(node)]

    def _island(self, island: Island) -> None:
        """Enter what a part in float between integers costs: the conversions around it, and those
        of its nodes that take no time of their own in the parent."""
        if not island.between and not island.unfused:
            return
        own = [self._left[place] for place in island.nodes if place in self._left]
        apart = [place for place in island.nodes if place in self._left and self._apart(place)]
        alone = bool(apart) and len(apart) == len(own)
        kind: SlowReason = (
            "unfused" if island.unfused else "fusion lost" if alone else "float island"
        )
        nodes = self._take([*apart, *island.conversions])
        if nodes:
            whole = [self._variant.nodes[place] for place in island.nodes]
            computing = [node for node in whole if not _lays_out(node)]
            about = [node.kernel.operator for node in computing or whole]
            self._enter(kind, _us(nodes), nodes, about=about)

    def _apart(self, place: int) -> bool:
        return _is_apart(self._variant.nodes[place], self._in_parent)

    def _conversions(self) -> None:
        """Enter what turns numbers around at the ends of a model, and around a kernel that takes
        what was quantized on the way."""
        operators = self._operators
        nodes = self._take([p for p, node in self._left.items() if _converts(node, operators)])
        if nodes:
            self._enter("conversions", _us(nodes), nodes)

    def _kernels(self) -> None:
        """Compare what is left, a group at a time."""
        before = _by_group(self._parent_nodes, self._groups)
        places: dict[str, list[int]] = {}
        for place, node in self._left.items():
            places.setdefault(_group(node, self._groups), []).append(place)
        unfused = {place for island in self._islands for place in island.unfused}
        for group in dict.fromkeys((*before, *places)):
            there, here = before.get(group, []), places.get(group, [])
            apart = [place for place in here if self._apart(place)]
            kept = [place for place in here if place not in apart]
            if apart and there and kept:
                nodes = self._take(apart)
                self._enter("fusion lost", _us(nodes), nodes)
            else:
                kept = here
            nodes = self._take(kept)
            products = [node for node in nodes if is_product(node.kernel.operator)]
            told = products or nodes or there
            were = [node.kernel.operator for node in there if is_product(node.kernel.operator)]
            were = were or [node.kernel.operator for node in there]
            kind: SlowReason = "other"
            if unfused.intersection(kept):
                kind = "unfused"
            elif nodes and there and any(node.kernel.operator not in were for node in told):
                kind = "slower kernel"
            self._enter(
                kind,
                _us(nodes) - _us(there),
                told,
                parent_us=_us(there),
                parent_operator=" and ".join(dict.fromkeys(were)),
            )


def _us(nodes: Sequence[RanNode]) -> float:
    return sum(node.us for node in nodes)


def _group(node: RanNode, groups: dict[str, str]) -> str:
    return groups.get(node.owner.label, "") if node.owner else ""


def _by_group(nodes: Sequence[RanNode], groups: dict[str, str]) -> dict[str, list[RanNode]]:
    found: dict[str, list[RanNode]] = {}
    for node in nodes:
        found.setdefault(_group(node, groups), []).append(node)
    return found
