"""The execution providers, a file each, found by file name.

To add one, add a file that exposes `PROVIDER`, a `ProviderInfo` whose name is the file's, with
hyphens for underscores.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
from pathlib import Path

import msgspec

from edgekit.errors import UnknownName
from edgekit.providers.info import (
    Diagnosis,
    Library,
    Occasion,
    Option,
    OrtSettings,
    Plugin,
    ProviderInfo,
)

__all__ = [
    "BEST",
    "Diagnosis",
    "Library",
    "Occasion",
    "Option",
    "OrtSettings",
    "Plugin",
    "ProviderInfo",
    "find",
    "names",
]

BEST = "best"
"""The name that leaves the choice to edgekit, see `edgekit.providers.choosing`."""

_SHARED = frozenset(
    {"built_in", "choosing", "diagnosis", "info", "libraries", "nvidia", "options", "plugin"}
    | {"profiles", "targets"}
)
"""The files of this room that aren't a provider."""


def names() -> list[str]:
    """List the providers that edgekit knows, whether or not they can be used here."""
    return list(_names(tuple(__path__)))


@functools.cache  # every load asks a few times
def _names(folders: tuple[str, ...]) -> tuple[str, ...]:
    import pkgutil

    found = {module.name for module in pkgutil.iter_modules(folders)} - _SHARED
    return tuple(sorted(name.replace("_", "-") for name in found))


def find(name: str, *, library: str | None = None) -> ProviderInfo:
    """Return what is known about a provider.

    Args:
        name: its name; or, of one that isn't listed, the name that its library registers.
        library: the plug-in's library, for one that isn't listed, or in place of the one that
            its package brings. It comes from the user and never from a package.

    Raises:
        UnknownName: there is no such provider.
        BadValue: a library for a provider that is part of onnxruntime.
    """
    known = name in (available := names())
    if not known and library is None:
        raise UnknownName(
            kind="execution provider",
            asked=str(name),
            available=available,
            action=_meant(name)
            or "Another plug-in provider goes by the name that its library registers, together "
            "with --provider-library PATH.",
        )
    if not known:
        from edgekit.providers.plugin import by_library

        return by_library(name, _path(library or ""))
    provider: ProviderInfo = importlib.import_module(
        f"{__name__}.{name.replace('-', '_')}"
    ).PROVIDER
    if library is None:
        return provider
    from edgekit.providers.plugin import refuse_library

    if provider.plugin is None:
        raise refuse_library(name)
    named = msgspec.structs.replace(provider.plugin, library=str(_path(library)))
    return dataclasses.replace(provider, plugin=named)


def _meant(asked: str) -> str:
    """Say which provider is meant by ONNX Runtime's name of it, or by ours in other letters."""
    for name in names():
        if str(asked).lower() in (name, find(name).ort_name.lower()):
            return f"{asked} is {name!r} here."
    return ""


def _path(library: str) -> Path:
    return Path(library).expanduser().absolute()
