"""Whether a variant's figures hold on this machine, or were measured on another kind.

Numbers of low precision depend on the processor: the same integers are added up in 16 bits on one
and in 32 on another. So a variant says where it was measured, and whoever loads it elsewhere is
told, once. Only `edgekit check` can say what it is like here.
"""

from __future__ import annotations

from pathlib import Path

from edgekit.package.values import Variant


def elsewhere(variant: Variant, *, provider: str, root: Path = Path("/")) -> str:
    """Say how this machine differs from what a variant is made for or was measured on.

    Args:
        variant: what is loaded.
        provider: what it runs on here.
        root: where `/proc` lies.

    Returns:
        A sentence without its full stop, empty where nothing differs, or nothing was measured.
    """
    kept = variant.kept
    if kept is None and variant.target.isa is None and variant.target.arch is None:
        return ""  # a float variant, which every load meets: nothing is imported for it
    from edgekit import hardware
    from edgekit.providers.targets import misfit

    arch, _ = hardware.platform_names()
    _, isa = hardware.cpu_and_isa(root, arch)
    if off := misfit(variant.target, arch=arch, isa=isa):
        return f"{off}: its answers may differ from those that were measured: run edgekit check"
    if kept is None:
        return ""
    if kept.provider != provider:
        there, here = f"the provider {kept.provider}", f"it runs on {provider} here"
    elif (kept.arch, kept.isa) != (arch, isa):
        there = f"another kind of processor ({_named(kept.arch, kept.isa)})"
        here = f"this one is {_named(arch, isa)}"
    else:
        return ""
    return (
        f"what it kept of the accuracy was measured on {there}, and {here}: edgekit check says "
        "whether its answers are right on this machine"
    )


def _named(arch: str, isa: tuple[str, ...]) -> str:
    return f"{arch} with {', '.join(isa)}" if isa else arch
