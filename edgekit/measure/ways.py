"""How the variants of a bench run: what a package may store of it, and what it may not."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgekit import providers
from edgekit.errors import BadValue, ProviderUnavailable
from edgekit.package.values import SessionChoice
from edgekit.providers import ProviderInfo, choosing
from edgekit.terms import Memory, members
from edgekit.workers import Call


class How(msgspec.Struct, frozen=True):
    """A session, the library of a plug-in provider that the user named, whether any node may run
    on another provider, and where arrays lie before a timed call and after it."""

    session: SessionChoice = SessionChoice()
    library: str | None = None
    strict: bool = False
    arrays: Memory = "host"

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
    if how.session.provider == providers.BEST:
        chosen = choosing.best(how.session, library=how.library)
        note = chosen.reason
        session = msgspec.structs.replace(how.session, provider=chosen.provider)
        how = msgspec.structs.replace(how, session=session)
    provider = how.provider
    provider.translate(how.session)
    found = provider.diagnose()
    if not found.usable:
        raise ProviderUnavailable(
            provider=provider.name, cause=found.cause, mend=found.mend, also=found.also
        )
    return how, note


def each_memory(how: How, asked: Memory | None = None) -> list[How]:
    """Time a provider that has a memory of its own from both memories, any other from the host's.

    Args:
        how: how the variants run, its provider chosen.
        asked: the only memory to time from.

    Raises:
        BadValue: arrays are asked for in a memory that the provider doesn't have.
    """
    device = how.provider.device
    if asked == "device" and not device:
        raise BadValue(
            what="Where arrays lie",
            asked=f"{asked!r} on the provider {how.provider.name!r}",
            expected="'host': it works in the processor's memory, and copies nothing",
        )
    both = members(Memory) if device else (members(Memory)[0],)
    return [msgspec.structs.replace(how, arrays=arrays) for arrays in ((asked,) if asked else both)]


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
            "arrays": how.arrays,
        },
        how.provider.environment(how.session),
    )
