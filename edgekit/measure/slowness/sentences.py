"""Each kind of reason as a sentence that names operators, nodes and times."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from edgekit.terms import SlowReason

CALL_US = 10.0
"""What takes no longer may be mostly the call of a kernel, and the waking of a second thread."""
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
        return us <= CALL_US * self.more_nodes


class Sum(msgspec.Struct, frozen=True):
    """Entries of one kind about the same operators, as one."""

    kind: SlowReason
    us: float
    about: tuple[str, ...]
    times: int
    nodes: tuple[str, ...]
    conversions: int
    parent_us: float
    parent_operator: str


def sentence_of(one: Sum, difference: Difference) -> str:
    """Say what costs time, how often, and how much."""
    return _WORDS[one.kind](one, difference)


def in_us(us: float) -> str:
    """Write a time: three digits that matter, in µs, or in ms where it is long."""
    if abs(us) >= 10_000:
        return f"{us / 1e3:.1f} ms"
    return f"{us:,.0f} µs" if abs(us) >= 100 else f"{us:.1f} µs"


def _before(us: float) -> str:
    """Write what the parent takes, which may be less than a profile can tell."""
    return in_us(us) if us >= 1 else "less than 1 µs"


def listed(names: Sequence[str], *, last: str = ", ") -> str:
    """List names, each once, and count those that are too many."""
    some = list(dict.fromkeys(names))
    if len(some) > _ENOUGH:
        some = [*some[: _ENOUGH - 1], f"{len(some) - _ENOUGH + 1} more"]
    *others, final = some or ["none"]
    return f"{', '.join(others)}{last}{final}" if others else final


def counted(n: int, noun: str) -> str:
    """Count things in words: 1 node, 2 nodes."""
    return f"{n:,} {_plural(noun, n)}"


def _island(one: Sum, difference: Difference) -> str:
    alone = one.conversions == len(one.nodes)
    nodes = _conversions(one) if alone else counted(len(one.nodes), "node")
    return (
        f"{_operators(one)} {_verb(one, 'stay')} in float between integers, in "
        f"{counted(one.times, 'place')}: {nodes} that {difference.parent} hasn't"
        f"{'' if alone else f', {_conversions(one)} among them,'} "
        f"{_do('take', one)} {in_us(one.us)}."
    )


def _unfused(one: Sum, difference: Difference) -> str:
    return (
        f"The Q and DQ around {_operators(one)} became no integer kernel "
        f"({counted(one.times, 'place')}): "
        + (f"{_conversions(one)} and " if one.conversions else "")
        + f"computing in float cost {in_us(one.us)} more than in {difference.parent} "
        f"({listed(one.nodes)})."
    )


def _apart(one: Sum, difference: Difference) -> str:
    with_them = f", {_conversions(one)} among them" if one.conversions else ""
    return (
        f"{_operators(one)}, which {difference.parent} has inside other kernels, "
        f"{_verb(one, 'run')} apart in {counted(one.times, 'place')}: "
        f"{counted(len(one.nodes), 'node')}{with_them}, {in_us(one.us)}."
    )


def _kernel(one: Sum, difference: Difference) -> str:
    was = one.parent_operator or "the kernels"
    return (
        f"{_operators(one)} {_verb(one, 'take')} longer than {was} in {_instead(one, difference)}."
    )


def _conversion(one: Sum, difference: Difference) -> str:
    return (
        f"{counted(len(one.nodes), 'node')} that {difference.parent} hasn't "
        f"{_do('turn', one)} numbers into "
        f"integers and back, and to the right scale ({listed(one.about)}): {in_us(one.us)}."
    )


def _reordering(one: Sum, difference: Difference) -> str:
    return (
        f"{counted(len(one.nodes), 'node')} {_do('lay', one)} values out anew "
        f"({listed(one.about)}): {in_us(one.us + one.parent_us)}, in {difference.parent} "
        f"{_before(one.parent_us)}."
    )


def _elsewhere(one: Sum, difference: Difference) -> str:
    return (
        f"{counted(len(one.nodes), 'node')} {_do('run', one)} on another provider or "
        f"{_do('copy', one)} between memories "
        f"({listed(one.about)}): {in_us(one.us + one.parent_us)}, in {difference.parent} "
        f"{_before(one.parent_us)}."
    )


def _small(one: Sum, difference: Difference) -> str:
    return (
        f"What a run takes beside its kernels is {in_us(one.us)} more than in "
        f"{difference.parent}: "
        + (
            f"every node costs a little by itself, and these are {difference.more_nodes:,} more."
            if difference.called(one.us)
            else "longer than calls of nodes take, so the machine was held up meanwhile."
        )
    )


def _other(one: Sum, difference: Difference) -> str:
    if not one.parent_us:
        return (
            f"{_operators(one)} {_verb(one, 'take')} {in_us(one.us)} that {difference.parent} "
            f"doesn't need ({listed(one.nodes)})."
        )
    return (
        f"{_operators(one)}, the same kernel in both, {_verb(one, 'take')} longer here than in "
        f"{_instead(one, difference)}."
    )


def _instead(one: Sum, difference: Difference) -> str:
    return (
        f"{difference.parent}: {in_us(one.us + one.parent_us)} instead of {_before(one.parent_us)} "
        f"in {counted(one.times, 'node')} ({listed(one.nodes)})"
    )


def _operators(one: Sum) -> str:
    """Name the operators that it is about, conversions left out where there are others."""
    return listed(one.about, last=" and ")


def _verb(one: Sum, word: str) -> str:
    return f"{word}s" if len(one.about) == 1 else word


def _do(word: str, one: Sum) -> str:
    """Say what as many nodes do: one lays, two lay."""
    if len(one.nodes) != 1:
        return word
    return f"{word[:-1]}ies" if word == "copy" else f"{word}s"


def _conversions(one: Sum) -> str:
    return counted(one.conversions, "conversion")


def _plural(noun: str, n: int) -> str:
    return noun if n == 1 else f"{noun}s"


_WORDS: dict[SlowReason, Callable[[Sum, Difference], str]] = {
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
