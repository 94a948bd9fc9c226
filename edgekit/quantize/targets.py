"""What a variant is made for: from a word of the user's to a target that the package stores.

cpu                     the machine at hand, its instruction sets with it where they decide
openvino, tensorrt, …   another provider
portable                any processor of this machine's architecture
x86-vnni, x86, arm      processors of another kind than this one, to build elsewhere
"""

from __future__ import annotations

from edgekit import machine as machines
from edgekit import providers
from edgekit.errors import UnknownName
from edgekit.machine import Machine
from edgekit.package.values import PORTABLE, Target
from edgekit.providers.targets import ARM, VNNI, X86, on_processors, vnni_of
from edgekit.quantize.scheme import SchemeInfo

_INTEGERS = frozenset({"int8-dynamic", "int8-static"})
"""Schemes whose products are of integers, which not every processor adds up alike."""

ELSEWHERE: dict[str, Target] = {
    "x86-vnni": Target(arch=X86, isa=VNNI[:1]),
    "x86": Target(arch=X86),
    "arm": Target(arch=ARM),
}
"""Processors that need not be the one at hand."""


def words() -> list[str]:
    """List what a target may be called."""
    return [*providers.names(), PORTABLE, *ELSEWHERE]


def resolve(asked: str | None, info: SchemeInfo, *, machine: Machine | None = None) -> Target:
    """Make the target of a variant from a word.

    Args:
        asked: a word of `words`; None for the scheme's own.
        info: the scheme: where it multiplies integers, the processor's instruction sets count.
        machine: the machine at hand; this one unless given.

    Raises:
        UnknownName: there is no such target.
    """
    word = info.target if asked is None else asked
    if word not in (known := words()):
        raise UnknownName(kind="target", asked=word, available=known)
    if word in ELSEWHERE:
        target = ELSEWHERE[word]
        return target if info.name in _INTEGERS else Target(arch=target.arch)
    here = machine or machines.describe()
    if word == PORTABLE:
        return Target(arch=here.arch)
    ep = providers.find(word).ort_name
    if info.name not in _INTEGERS or not on_processors(word):
        return Target(provider=word, ep=ep)
    return Target(provider=word, ep=ep, arch=here.arch, isa=vnni_of(here.isa) or None)
