"""A candidate: a variant, and a way to run it; which variants a provider may be given."""

from __future__ import annotations

import msgspec

from edgekit import providers
from edgekit.errors import BadValue
from edgekit.package.values import SessionChoice, Variant
from edgekit.providers import ProviderInfo
from edgekit.runtime.recordable import unrecordable


class Way(msgspec.Struct, frozen=True):
    """A variant and the session that it runs in."""

    variant: str
    session: SessionChoice

    @property
    def label(self) -> str:
        """Name it in a table, by all that isn't usual: ``int8-static · cpu, 1 thread``."""
        return f"{self.variant} · {session_in_words(self.session)}"


def session_in_words(session: SessionChoice) -> str:
    """Say a session by its provider and all that isn't usual about it."""
    usual = SessionChoice()
    said = [session.provider]
    if session.threads is not None:
        said.append(f"{session.threads} thread" + ("" if session.threads == 1 else "s"))
    if session.idle != usual.idle:
        said.append(session.idle)
    if session.graph_level != usual.graph_level:
        said.append(f"graph level {session.graph_level}")
    options = {**session.session_options, **session.provider_options}
    said += [f"{name.rpartition('.')[2]}={value}" for name, value in sorted(options.items())]
    return ", ".join(said)


def departures(session: SessionChoice) -> int:
    """Count what isn't usual about a session; threads that burn a core weigh most."""
    usual = SessionChoice()
    return (
        (session.threads is not None)
        + (session.graph_level != usual.graph_level)
        + len(session.session_options)
        + len(session.provider_options)
        + (10 if session.idle == "spin" else session.idle != usual.idle)
    )


def first_ways(variants: tuple[Variant, ...], usable: tuple[ProviderInfo, ...]) -> list[Way]:
    """Pair every variant with every provider that it may run on, in each of the precisions that
    the provider can compute in, and with nothing else said."""
    return [
        Way(variant.name, SessionChoice(provider=provider.name, provider_options=dict(options)))
        for provider in usable
        for variant in variants
        if suits(variant, provider)
        for options in ({}, *provider.computings)
    ]


def suits(variant: Variant, provider: ProviderInfo) -> bool:
    """Tell whether a variant may be worth running on a provider.

    One of fewer bits is for the provider that it was made for, and for others that want the very
    same numbers.
    """
    plain = SessionChoice(provider=provider.name)
    if provider.unfit(variant.facts, variant.precision) or unrecordable(
        plain, variant.facts.operators
    ):
        return False
    recipe = variant.recipe
    if recipe is None or variant.target.provider == provider.name:
        return variant.target.provider in (provider.name, SessionChoice().provider)
    made_for = msgspec.structs.replace(variant.target, provider=provider.name, ep=provider.ort_name)
    try:
        return provider.quant_rules(recipe.scheme, made_for) == recipe.rules
    except BadValue:
        return False


def usable_providers(asked: tuple[str, ...] = ()) -> tuple[ProviderInfo, ...]:
    """Find the providers to search on: those that were asked for, else all that can be used here.

    Raises:
        UnknownName: there is no such provider.
        ProviderUnavailable: one that was asked for can't be used here.
    """
    from edgekit.measure.ways import How, settle

    if asked:
        named = [settle(How(SessionChoice(provider=name)))[0].provider for name in asked]
        return tuple({provider.name: provider for provider in named}.values())
    known = [providers.find(name) for name in providers.names()]
    # The processor first: what is a tie goes to what is always there.
    known.sort(key=lambda provider: provider.name != SessionChoice().provider)
    return tuple(provider for provider in known if provider.diagnose().usable)
