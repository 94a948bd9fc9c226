"""The execution providers, a file each, found by file name.

To add one, add a file that exposes `PROVIDER`, a `ProviderInfo` whose name is the file's.
"""

from __future__ import annotations

import importlib

from edgekit.errors import UnknownName
from edgekit.providers.info import Diagnosis, OrtSettings, ProviderInfo

__all__ = ["Diagnosis", "OrtSettings", "ProviderInfo", "find", "names"]

_SHARED = frozenset({"diagnosis", "info", "options", "plugin"})
"""The files of this room that aren't a provider."""


def names() -> list[str]:
    """List the providers that edgekit knows, whether or not they can be used here."""
    import pkgutil

    return sorted({module.name for module in pkgutil.iter_modules(__path__)} - _SHARED)


def find(name: str) -> ProviderInfo:
    """Return what is known about a provider.

    Raises:
        UnknownName: there is no such provider.
    """
    if name not in (available := names()):
        raise UnknownName(kind="execution provider", asked=name, available=available)
    provider: ProviderInfo = importlib.import_module(f"{__name__}.{name}").PROVIDER
    return provider
