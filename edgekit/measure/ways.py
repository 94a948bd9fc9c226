"""How the variants of a bench run: what a package may store of it, and what it may not."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgekit import providers
from edgekit.errors import BadValue, ProviderUnavailable
from edgekit.package.values import SessionChoice
from edgekit.providers import ProviderInfo, choosing
from edgekit.workers import Call


class How(msgspec.Struct, frozen=True):
    """A session, the library of a plug-in provider that the user named, and whether any node may
    run on another provider."""

    session: SessionChoice = SessionChoice()
    library: str | None = None
    strict: bool = False

    @property
    def provider(self) -> ProviderInfo:
        """What is known about its provider."""
        return providers.find(self.session.provider, library=self.library)


def settle(how: How) -> tuple[How, str]:
    """Put a provider in the place of the word "best", and say in a note why this one.

    Raises:
        ProviderUnavailable: the asked provider can't be used here; before anything long starts.
        UnknownName, BadValue: no such provider, or an option that isn't one of its.
    """
    note = ""
    if how.session.provider == choosing.BEST:
        if how.library is not None or how.session.provider_options:
            raise BadValue(
                what="A library or an option of a provider",
                asked=f"given together with the provider {choosing.BEST!r}",
                expected="the provider that it is for, by its name",
            )
        chosen = choosing.best()
        note = chosen.reason
        session = msgspec.structs.replace(how.session, provider=chosen.provider)
        how = msgspec.structs.replace(how, session=session)
    provider = how.provider
    provider.translate(how.session)
    found = provider.diagnose()
    if not found.usable:
        raise ProviderUnavailable(provider=provider.name, cause=found.cause, mend=found.mend)
    return how, note


def variant_call(path: Path, variant: str, how: How) -> Call:
    """Write the call that opens a variant, or a plain .onnx file, in a worker."""
    return Call(
        "edgekit.runtime.runner:open_variant",
        {
            "path": str(path.absolute()),
            "variant": variant,
            "session": how.session,
            "library": how.library,
            "strict": how.strict,
        },
        how.provider.environment(how.session),
    )
