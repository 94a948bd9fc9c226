"""The entries of a ledger in words: entries of one kind and about the same operators together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from edgekit.graph.multiplying import is_product
from edgekit.measure.roofline.limits import Peaks, bound_of, parts_us
from edgekit.measure.slowness.ledger import Entry
from edgekit.measure.slowness.running import RanVariant
from edgekit.measure.slowness.values import Reason
from edgekit.terms import SlowReason

_SMALL = 0.03
"""What is less than this share of the difference, or of the run, isn't a reason of its own."""
_MUCH, _NEAR = 0.2, 0.4
"""Which share of all time is worth a word, and from which share of its limit on a node is near."""
_CALL_US = 10.0
"""What takes no longer may be mostly the call of a kernel, and the waking of a second thread."""
_TOLD_US = 2.0
"""What is less isn't a reason of its own: a profile counts in whole µs."""
_SHOWN_US = 0.05
"""What is less isn't shown."""
_ENOUGH = 4
"""How many names a sentence lists."""


class Difference(msgspec.Struct, frozen=True):
    """What a run of a variant and of its parent take, in µs, what the two are called, and how many
    more nodes the variant has."""

    variant_us: float
    parent_us: float
    variant: str
    parent: str
    more_nodes: int = 0

    def called(self, us: float) -> bool:
        """Whether calling that many more nodes may take so long; else it is the machine's doing."""
        return us <= _CALL_US * self.more_nodes


class _Sum(msgspec.Struct, frozen=True):
    """Entries of one kind about the same operators, as one."""

    kind: SlowReason
    us: float
    about: tuple[str, ...]
    times: int
    nodes: tuple[str, ...]
    conversions: int
    parent_us: float
    parent_operator: str


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
    found = [
        Reason(one.kind, _WORDS[one.kind](one, difference), one.nodes, one.us) for one in costly
    ]
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
        f"{len(bound)} of {_count(len(products), 'product')} ({100 * took / whole:.0f} % of the "
        f"nodes' time) {'is' if len(bound) == 1 else 'are'} bound by memory and not by computing: "
        "what fewer bits gain there is fewer bytes alone "
        f"({_listed([node.kernel.name for node in bound])})."
    )
    return Reason("memory-bound", sentence, tuple(node.kernel.name for node in bound), None)


def too_small(variant: RanVariant, peaks: Peaks) -> Reason | None:
    """Tell of nodes that are called for so little that the call is most of their time: what is
    computed inside of them, in however many bits, hardly counts."""
    small = [
        node
        for node in variant.nodes
        if node.us <= _CALL_US
        and (node.work is None or max(parts_us(node.work, peaks)) < node.us / 4)
    ]
    took, whole = (sum(node.us for node in some) for some in (small, variant.nodes))
    if took < 2 * _MUCH * whole:
        return None
    sentence = (
        f"{len(small)} of {_count(len(variant.nodes), 'node')} take at most {_CALL_US:g} µs each, "
        f"{100 * took / whole:.0f} % of the nodes' time, and their limits are less than a quarter "
        "of that: the model is so small that calling its nodes costs more than computing them."
    )
    return Reason("small nodes", sentence, tuple(node.kernel.name for node in small), None)


def in_us(us: float) -> str:
    """Write a time: three digits that matter, in µs, or in ms where it is long."""
    if abs(us) >= 10_000:
        return f"{us / 1e3:.1f} ms"
    return f"{us:,.0f} µs" if abs(us) >= 100 else f"{us:.1f} µs"


def _before(us: float) -> str:
    """Write what the parent takes, which may be less than a profile can tell."""
    return in_us(us) if us >= 1 else "less than 1 µs"


def _summed(entries: Sequence[Entry]) -> list[_Sum]:
    together: dict[tuple[object, ...], list[Entry]] = {}
    for entry in entries:
        # What gains is no reason, and doesn't hide one about the same operators: but of the same
        # kernels some nodes are slower by chance alone, and others faster.
        signs = entry.us > 0 or entry.kind == "other"
        about = frozenset(entry.about) if entry.kind != "conversions" else None
        was = entry.parent_operator if entry.kind == "slower kernel" else ""
        together.setdefault((entry.kind, about, was, signs), []).append(entry)
    return [
        _Sum(
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


def _island(one: _Sum, difference: Difference) -> str:
    alone = one.conversions == len(one.nodes)
    nodes = _conversions(one) if alone else _count(len(one.nodes), "node")
    return (
        f"{_operators(one)} {_verb(one, 'stay')} in float between integers, in "
        f"{_count(one.times, 'place')}: {nodes} that {difference.parent} hasn't"
        f"{'' if alone else f', {_conversions(one)} among them,'} "
        f"{_do('take', one)} {in_us(one.us)}."
    )


def _unfused(one: _Sum, difference: Difference) -> str:
    return (
        f"The Q and DQ around {_operators(one)} became no integer kernel "
        f"({_count(one.times, 'place')}): "
        + (f"{_conversions(one)} and " if one.conversions else "")
        + f"computing in float cost {in_us(one.us)} more than in {difference.parent} "
        f"({_listed(one.nodes)})."
    )


def _apart(one: _Sum, difference: Difference) -> str:
    with_them = f", {_conversions(one)} among them" if one.conversions else ""
    return (
        f"{_operators(one)}, which {difference.parent} has inside other kernels, "
        f"{_verb(one, 'run')} apart in {_count(one.times, 'place')}: "
        f"{_count(len(one.nodes), 'node')}{with_them}, {in_us(one.us)}."
    )


def _kernel(one: _Sum, difference: Difference) -> str:
    was = one.parent_operator or "the kernels"
    return (
        f"{_operators(one)} {_verb(one, 'take')} longer than {was} in {_instead(one, difference)}."
    )


def _conversion(one: _Sum, difference: Difference) -> str:
    return (
        f"{_count(len(one.nodes), 'node')} that {difference.parent} hasn't "
        f"{_do('turn', one)} numbers into "
        f"integers and back, and to the right scale ({_listed(one.about)}): {in_us(one.us)}."
    )


def _reordering(one: _Sum, difference: Difference) -> str:
    return (
        f"{_count(len(one.nodes), 'node')} {_do('lay', one)} values out anew "
        f"({_listed(one.about)}): {in_us(one.us + one.parent_us)}, in {difference.parent} "
        f"{_before(one.parent_us)}."
    )


def _elsewhere(one: _Sum, difference: Difference) -> str:
    return (
        f"{_count(len(one.nodes), 'node')} {_do('run', one)} on another provider or "
        f"{_do('copy', one)} between memories "
        f"({_listed(one.about)}): {in_us(one.us + one.parent_us)}, in {difference.parent} "
        f"{_before(one.parent_us)}."
    )


def _small(one: _Sum, difference: Difference) -> str:
    return (
        f"What a run takes beside its kernels is {in_us(one.us)} more than in "
        f"{difference.parent}: "
        + (
            f"every node costs a little by itself, and these are {difference.more_nodes:,} more."
            if difference.called(one.us)
            else "longer than calls of nodes take, so the machine was held up meanwhile."
        )
    )


def _other(one: _Sum, difference: Difference) -> str:
    if not one.parent_us:
        return (
            f"{_operators(one)} {_verb(one, 'take')} {in_us(one.us)} that {difference.parent} "
            f"doesn't need ({_listed(one.nodes)})."
        )
    return (
        f"{_operators(one)}, the same kernel in both, {_verb(one, 'take')} longer here than in "
        f"{_instead(one, difference)}."
    )


def _instead(one: _Sum, difference: Difference) -> str:
    return (
        f"{difference.parent}: {in_us(one.us + one.parent_us)} instead of {_before(one.parent_us)} "
        f"in {_count(one.times, 'node')} ({_listed(one.nodes)})"
    )


_WORDS: dict[SlowReason, Callable[[_Sum, Difference], str]] = {
    "float island": _island,
    "unfused": _unfused,
    "fusion lost": _apart,
    "slower kernel": _kernel,
    "conversions": _conversion,
    "reordering": _reordering,
    "another provider": _elsewhere,
    "small nodes": _small,
    "other": _other,
}


def _operators(one: _Sum) -> str:
    """Name the operators that it is about, conversions left out where there are others."""
    return _listed(one.about, last=" and ")


def _verb(one: _Sum, word: str) -> str:
    return f"{word}s" if len(one.about) == 1 else word


def _do(word: str, one: _Sum) -> str:
    """Say what as many nodes do: one lays, two lay."""
    if len(one.nodes) != 1:
        return word
    return f"{word[:-1]}ies" if word == "copy" else f"{word}s"


def _conversions(one: _Sum) -> str:
    return _count(one.conversions, "conversion")


def _listed(names: Sequence[str], *, last: str = ", ") -> str:
    some = list(dict.fromkeys(names))
    if len(some) > _ENOUGH:
        some = [*some[: _ENOUGH - 1], f"{len(some) - _ENOUGH + 1} more"]
    *others, final = some or ["none"]
    return f"{', '.join(others)}{last}{final}" if others else final


def _count(n: int, noun: str) -> str:
    return f"{n:,} {_plural(noun, n)}"


def _plural(noun: str, n: int) -> str:
    return noun if n == 1 else f"{noun}s"
