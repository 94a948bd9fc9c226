"""The table of what each provider takes of fewer bits, in docs/providers.md."""

from __future__ import annotations

from edgekit import providers
from edgekit.package.values import QuantRules, Target
from edgekit.providers.targets import X86
from edgekit.terms import Scheme, members

BEGINS = "<!-- table of fewer bits: python docs/write_providers.py -->"


def rules_table() -> str:
    """Write what every provider takes, a row each, and the reasons of those that don't below."""
    schemes = members(Scheme)
    lines = [("name", *schemes), ("---",) * (1 + len(schemes))]
    reasons: list[str] = []
    for name in providers.names():
        rules = {scheme: _rules(name, scheme) for scheme in schemes}
        lines.append((f"`{name}`", *(_cell(scheme, said) for scheme, said in rules.items())))
        why: dict[str, list[str]] = {}
        for scheme, said in rules.items():
            if isinstance(said, str):
                why.setdefault(said, []).append(scheme)
        for said, refused in why.items():
            reasons.append(f"- `{name}`, no {', '.join(refused)}: {said}.")
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return "\n\n".join((table, "\n".join(reasons)))


def _rules(provider: str, scheme: str) -> QuantRules | str:
    info = providers.find(provider)
    vnni = Target(provider, info.ort_name, arch=X86, isa=("avx512_vnni",))
    return info.quantized(scheme, vnni)  # type: ignore[arg-type]


def _cell(scheme: str, said: QuantRules | str) -> str:
    if isinstance(said, str):
        return "no"
    if scheme != "int8-static":
        return "yes"
    return f"{said.activation}, {'zero point 0' if said.symmetric else 'any zero point'}"
