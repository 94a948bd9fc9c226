"""What costs a variant time: entries of a ledger of one kind about the same operators, as one."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.graph.multiplying import is_product
from edgekit.measure.roofline.limits import Peaks, bound_of, parts_us
from edgekit.measure.slowness.ledger import Entry
from edgekit.measure.slowness.running import RanVariant
from edgekit.measure.slowness.sentences import (
    CALL_US,
    Difference,
    Sum,
    counted,
    in_us,
    listed,
    sentence_of,
)
from edgekit.measure.slowness.values import Reason

_SMALL = 0.03
"""What is less than this share of the difference, or of the run, isn't a reason of its own."""
_MUCH, _NEAR = 0.2, 0.4
"""Which share of all time is worth a word, and from which share of its limit on a node is near."""
_TOLD_US = 2.0
"""What is less isn't a reason of its own: a profile counts in whole µs."""
_SHOWN_US = 0.05
"""What is less isn't shown."""


def reasons_of(entries: Sequence[Entry], difference: Difference) -> tuple[list[Reason], float]:
    """Say in words where time goes, the most expensive first, and last what only the machine did.

    Returns:
        The reasons, and how many µs a run the other nodes gain: the reasons' µs less these are the
        difference between the two.
    """
    sums = _summed(entries)
    worth = _SMALL * max(
        abs(difference.variant_us - difference.parent_us), difference.parent_us / 10
    )
    worth = max(worth, _TOLD_US)
    # What the machine did meanwhile isn't the variant's: it stands last.
    costly = sorted(
        (one for one in sums if one.us >= worth),
        key=lambda one: (one.kind == "small nodes" and not difference.called(one.us), -one.us),
    )
    small = [one for one in sums if 0 < one.us < worth]
    found = [Reason(one.kind, sentence_of(one, difference), one.nodes, one.us) for one in costly]
    rest = sum(one.us for one in small)
    # Alone they are no reason: what gains is less by so much.
    if rest >= (_SHOWN_US if found else worth):
        nodes = tuple(dict.fromkeys(node for one in small for node in one.nodes))
        sentence = f"Smaller differences add up to {in_us(rest)}."
        found.append(Reason("other", sentence, nodes, rest))
        rest = 0.0
    gained = -sum(one.us for one in sums if one.us < 0)
    return found, gained - rest


def memory_bound(variant: RanVariant, peaks: Peaks) -> Reason | None:
    """Tell of products that memory bounds, and that come near to that bound: fewer bits in
    computing gain nothing there."""
    products = [
        node for node in variant.nodes if is_product(node.kernel.operator) and node.work is not None
    ]
    bound = [
        node
        for node in products
        if node.work is not None
        and bound_of(node.work, peaks) == "memory"
        and max(parts_us(node.work, peaks)) >= _NEAR * node.us
    ]
    took, whole = (sum(node.us for node in some) for some in (bound, variant.nodes))
    if not bound or took < _MUCH * whole:
        return None
    sentence = (
        f"{len(bound)} of {counted(len(products), 'product')} ({100 * took / whole:.0f} % of the "
        f"nodes' time) {'is' if len(bound) == 1 else 'are'} bound by memory and not by computing: "
        "what fewer bits gain there is fewer bytes alone "
        f"({listed([node.kernel.name for node in bound])})."
    )
    return Reason("memory-bound", sentence, tuple(node.kernel.name for node in bound), None)


def too_small(variant: RanVariant, peaks: Peaks) -> Reason | None:
    """Tell of nodes that are called for so little that the call is most of their time: what is
    computed inside of them, in however many bits, hardly counts."""
    small = [
        node
        for node in variant.nodes
        if node.us <= CALL_US
        and (node.work is None or max(parts_us(node.work, peaks)) < node.us / 4)
    ]
    took, whole = (sum(node.us for node in some) for some in (small, variant.nodes))
    if took < 2 * _MUCH * whole:
        return None
    sentence = (
        f"{len(small)} of {counted(len(variant.nodes), 'node')} take at most {CALL_US:g} µs each, "
        f"{100 * took / whole:.0f} % of the nodes' time, and their limits are less than a quarter "
        "of that: the model is so small that calling its nodes costs more than computing them."
    )
    return Reason("small nodes", sentence, tuple(node.kernel.name for node in small), None)


def _summed(entries: Sequence[Entry]) -> list[Sum]:
    together: dict[tuple[object, ...], list[Entry]] = {}
    for entry in entries:
        # What gains is no reason, and doesn't hide one about the same operators: but of the same
        # kernels some nodes are slower by chance alone, and others faster.
        signs = entry.us > 0 or entry.kind == "other"
        about = frozenset(entry.about) if entry.kind != "conversions" else None
        was = entry.parent_operator if entry.kind == "slower kernel" else ""
        together.setdefault((entry.kind, about, was, signs), []).append(entry)
    return [
        Sum(
            kind=some[0].kind,
            us=sum(entry.us for entry in some),
            about=tuple(dict.fromkeys(name for entry in some for name in entry.about)),
            times=_places(some),
            nodes=tuple(
                node for entry in sorted(some, key=lambda one: -one.us) for node in entry.nodes
            ),
            conversions=sum(entry.conversions for entry in some),
            parent_us=sum(entry.parent_us for entry in some),
            parent_operator=some[0].parent_operator,
        )
        for some in together.values()
    ]


def _places(entries: Sequence[Entry]) -> int:
    """Count places: what is around a kernel and the kernel itself are entries of their own."""
    around = sum(1 for entry in entries if entry.conversions)
    return max(around, len(entries) - around)
