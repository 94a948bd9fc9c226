"""Which variants are worth making for the providers of a machine, and how long each takes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from edgekit.errors import BadValue, MissingExtra
from edgekit.package.values import GraphFacts, QuantRules, Variant
from edgekit.providers import ProviderInfo
from edgekit.quantize import scheme as schemes
from edgekit.quantize import targets
from edgekit.terms import Scheme, members

OPTIMIZED = "optimized"
_OF_OPTIMIZED = f"-{OPTIMIZED}"
_MEMORY_BOUND_BYTES = 48 << 20
"""Weights beyond what caches hold: fewer bits of them alone are read faster, and gain by it."""
_FLOAT_BYTES = 4
_PRECISIONS = {"fp16": "float16", "bf16": "bfloat16"}
_GAINS: dict[Scheme, frozenset[str]] = {
    "int8-static": frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"}),
    "int8-dynamic": frozenset({"Attention", "Gemm", "LSTM", "MatMul"}),
    "int8-weight": frozenset({"Gemm", "MatMul"}),
    "int4-weight": frozenset({"Gemm", "MatMul"}),
}
"""Operators of which a scheme makes faster ones: without any of them it isn't worth a try."""


class Step(msgspec.Struct, frozen=True):
    """A variant that could be made: by a scheme for a provider, or by rewrites where there is none.

    `why` says in half a sentence why it is worth a try. `parent` is the variant to make it from,
    None for the float variant that the search begins with.
    """

    name: str
    scheme: Scheme | None
    provider: str
    why: str
    parent: str | None = None


def worth_making(
    parent: Variant,
    usable: Sequence[ProviderInfo],
    *,
    weights: Callable[[], Mapping[str, int]],
) -> tuple[list[Step], list[str]]:
    """List the variants to make of a float one, and what to know.

    Rewrites come last: they take the longest, most of them pay nowhere, and where there is little
    time they would leave none for the rest.

    What two providers want alike is made once, for the first of them.

    Args:
        parent: the float variant.
        usable: the providers to search on.
        weights: counts the weights that each operator reads; called only where it matters.
    """
    if parent.precision != "fp32":
        return [], [f"{parent.name} is {parent.precision}: only variants that exist are tried"]
    try:
        infos = [schemes.find(name) for name in _in_order(parent.facts)]
    except MissingExtra as error:
        return [], [f"only variants that exist are tried: {error}"]
    steps: list[Step] = []
    made: list[tuple[Scheme, QuantRules]] = []
    for provider in usable:
        for info in infos:
            why = _reason(info.name, parent.facts, provider, weights)
            if not why:
                continue
            try:
                target = targets.resolve(provider.name, info)
                rules = provider.quant_rules(info.name, target)
            except BadValue:
                continue
            if (info.name, rules) in made:
                continue
            taken = {step.name for step in steps}
            name = f"{info.name}-{provider.name}" if info.name in taken else info.name
            made.append((info.name, rules))
            steps.append(Step(name, info.name, provider.name, why))
    steps.append(Step(OPTIMIZED, None, usable[0].name, "rewrites that ONNX Runtime leaves out"))
    return steps, []


def _in_order(facts: GraphFacts) -> list[str]:
    """List the schemes, the most promising first: convolutions gain by static ones alone."""
    convolves = "Conv" in facts.operators
    return sorted(members(Scheme), key=lambda name: convolves and name != "int8-static")


def from_optimized(steps: Sequence[Step], optimized: str) -> list[Step]:
    """List what to make once more, of rewritten floats: integers in a graph of other nodes.

    Rewrites join nodes, some of which no scheme takes apart again, so that either may be faster.
    """
    return [
        Step(
            step.name + _OF_OPTIMIZED,
            step.scheme,
            step.provider,
            f"{optimized} is faster than the float variant",
            parent=optimized,
        )
        for step in steps
        if step.scheme in ("int8-static", "int8-dynamic")
    ]


def still_to_make(
    steps: Sequence[Step], *, there: Collection[str], done_with: Collection[str]
) -> tuple[list[Step], list[Step]]:
    """List what is to be made in any case, and what follows only if rewrites pay.

    Args:
        steps: what is worth making.
        there: the variants that exist.
        done_with: those that need not be made once more.
    """

    def still(some: Sequence[Step]) -> list[Step]:
        return [step for step in some if step.name not in there and step.name not in done_with]

    sure = still(steps)
    rewrites = next((step.name for step in steps if step.scheme is None), None)
    if rewrites is None or rewrites in done_with:
        return sure, []
    following = still(from_optimized(steps, rewrites))
    return (sure + following, []) if rewrites in there else (sure, following)


def of_optimized(name: str) -> bool:
    """Tell by its name whether a variant is made of rewritten floats."""
    return name.endswith(_OF_OPTIMIZED)


def _reason(
    scheme: Scheme,
    facts: GraphFacts,
    provider: ProviderInfo,
    weights: Callable[[], Mapping[str, int]],
) -> str:
    """Say why a scheme may pay for a model on a provider, empty where it can't."""
    if scheme in _PRECISIONS:
        computes = _PRECISIONS[scheme] in provider.precisions and provider.device
        return f"{provider.name} computes in it" if computes else ""
    gaining = sorted(_GAINS[scheme] & facts.operators.keys())
    if not gaining:
        return ""
    if scheme in ("int8-weight", "int4-weight"):
        if _FLOAT_BYTES * facts.parameters < _MEMORY_BOUND_BYTES:
            return ""
        read = weights()
        read_bytes = _FLOAT_BYTES * sum(read.get(name, 0) for name in gaining)
        if read_bytes < _MEMORY_BOUND_BYTES:
            return ""
        return f"its products read {read_bytes / 1e6:.0f} MB of weights at every call"
    counts = ", ".join(f"{facts.operators[name]} {name}" for name in gaining)
    return f"it has {counts}"


def estimated_s(
    step: Step, *, call_ms: float, evaluation: int, calibration: int, size_bytes: int
) -> float:
    """Estimate how long making a variant takes, in seconds: a rough figure, from the calls that it
    makes and what it reads and writes.

    Args:
        step: what is made.
        call_ms: one call of the float variant.
        evaluation: how many cases judge it.
        calibration: how many cases are looked at.
        size_bytes: the float variant's size.
    """
    passes = {"int8-static": 14, "int8-dynamic": 3}.get(step.scheme or "", 1)
    judged = evaluation * (3 * call_ms + 0.6) / 1e3
    looked_at = calibration * passes * (1.5 * call_ms + 0.3) / 1e3
    return 2.0 + judged + looked_at + size_bytes / 20e6
