"""What a target says of processors, in words, and whether a variant made for it is right on one.

A processor without VNNI multiplies uint8 by int8 and adds two such products up in 16 bits, which
end at 32767: with 8-bit weights 2 · 255 · 127 = 64770 doesn't fit, and the answer is silently
another than where there is VNNI. A variant with 7-bit weights is the same on both.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.package.values import Target

VNNI = ("avx512_vnni", "avx_vnni")
"""The instruction sets that add such products up in 32 bits; either will do. AMX comes with one."""

X86, ARM = "x86_64", "aarch64"
_ARCHITECTURES = {X86: "x86-64", ARM: "ARM64"}
_SETS = {
    "avx2": "AVX2",
    "avx512": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX-VNNI",
    "amx_int8": "AMX",
}
_PROCESSORS = frozenset({"cpu", "openvino"})
"""Providers whose numbers depend on a processor's instructions. XNNPACK's kernels add up in 32 bits
on every one."""


def vnni_of(isa: Sequence[str]) -> tuple[str, ...]:
    """Name the set of VNNI that a processor has, alone; nothing where it has none."""
    return next(((name,) for name in VNNI if name in isa), ())


def on_processors(provider: str) -> bool:
    """Tell whether a provider computes on the processor, whose instructions decide its numbers."""
    return provider in _PROCESSORS


def adds_up_in_16_bits(target: Target) -> bool:
    """Tell whether products of a target may be added up in 16 bits, so that weights need 7 bits.

    A target that names no architecture is also for x86 without VNNI.
    """
    if not on_processors(target.provider) or target.arch == ARM:
        return False
    return not vnni_of(target.isa or ())


def described(target: Target) -> str:
    """Say which machines a target is for: ``x86-64 processors with VNNI``."""
    if not on_processors(target.provider):
        return f"any machine with the provider {target.provider}"
    arch = _ARCHITECTURES.get(target.arch or "", target.arch or "")
    through = "" if target.provider == "cpu" else f", through {target.provider}"
    if not target.isa:
        return f"any {arch} processor{through}" if arch else f"any processor{through}"
    sets = ["VNNI" if name in VNNI else _SETS.get(name, name) for name in target.isa]
    kind = f"{arch} processors" if arch else "processors"
    return f"{kind} with {' and '.join(dict.fromkeys(sets))}{through}"


def misfit(target: Target, *, arch: str, isa: Sequence[str]) -> str:
    """Say why a variant made for a target may answer differently on a machine; empty: it doesn't.

    Args:
        target: what the variant was made for.
        arch: the machine's architecture, as `edgekit.machine.Machine` has it.
        isa: its instruction sets, as there; empty where they can't be told, which fits no target
            that names one.
    """
    if target.arch is not None and target.arch != arch:
        made_for = _ARCHITECTURES.get(target.arch, target.arch)
        return f"it is made for {made_for}, and this is {_ARCHITECTURES.get(arch, arch)}"
    if target.isa is None:
        return ""
    missing = [name for name in target.isa if name not in isa]
    if vnni_of(isa):
        missing = [name for name in missing if name not in VNNI]
    if not missing:
        return ""
    sets = " and ".join("VNNI" if name in VNNI else _SETS.get(name, name) for name in missing)
    here = "and this processor's can't be told" if not isa else "which this processor lacks"
    return f"it is made for processors with {sets}, {here}"
