"""Providers that come as a library of their own, which onnxruntime loads when asked.

A distribution of such a provider brings an import package with `get_library_path()`, by the
convention that onnxruntime's plug-in packages share. Any other is given by its library's path.
"""

from __future__ import annotations

import hashlib
import importlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgekit.errors import BadValue, MissingExtra, NotFound
from edgekit.providers import diagnosis, options
from edgekit.providers.info import Diagnosis, Option, Plugin, ProviderInfo, not_told

_registered: dict[str, list[Any]] = {}
"""The devices that each library brought, by the name under which it was registered: onnxruntime
refuses a name's second library, and tells of none of its devices which registration it is of."""
_registering = threading.Lock()


def devices(plugin: Plugin, ort_name: str, *, extra: str) -> list[Any]:
    """Load a plug-in into onnxruntime, once a process, and list its devices.

    Only devices of exactly this provider are listed, as `OrtEpDevice`s in onnxruntime's order: a
    session refuses a mixture. The list is empty where the provider finds no hardware for it.

    Raises what `names` raises.
    """
    return [
        device
        for device in _devices(plugin, extra)
        if device.ep_name == ort_name
        and all(device.ep_metadata.get(key) == value for key, value in plugin.only.items())
    ]


def names(plugin: Plugin, *, extra: str) -> list[str]:
    """List the names of the providers for which a plug-in finds hardware.

    Raises:
        MissingExtra: the distribution isn't installed.
        NotFound: there is no such library.
        Exception: whatever onnxruntime raises where it can't load the library.
    """
    return sorted({device.ep_name for device in _devices(plugin, extra)})


def _devices(plugin: Plugin, extra: str) -> list[Any]:
    import onnxruntime

    library = _library(plugin, extra)
    # The path decides, not the name: two libraries may bring providers of one name.
    name = f"edgekit.{hashlib.sha256(library.encode()).hexdigest()[:12]}"
    with _registering:
        if name not in _registered:
            # The app itself may have registered it too: a session takes no mixture of both.
            before = onnxruntime.get_ep_devices()
            onnxruntime.register_execution_provider_library(name, library)
            _registered[name] = [
                device
                for device in onnxruntime.get_ep_devices()
                if not any(device is other for other in before)
            ]
    return _registered[name]


def by_library(name: str, library: Path) -> ProviderInfo:
    """Describe a plug-in provider of which only its registered name and its library are known.

    Its options can't be checked here: whatever is asked for is handed on.
    """
    return ProviderInfo(
        name=name,
        ort_name=name,
        extra="cpu",
        summary=f"whatever {library.name} supports",
        packages=(),
        precisions=(),
        tried=False,
        options=_Anything(),
        plugin=Plugin("", str(library)),
        diagnosed=diagnose("a device that it supports"),
        translated=options.translate,
        computing=not_told,
    )


def diagnose(hardware: str) -> Callable[[ProviderInfo], Diagnosis]:
    """Make the diagnosis of a plug-in; `hardware` says in words what it wants to find."""

    def diagnosed(provider: ProviderInfo) -> Diagnosis:
        assert provider.plugin is not None
        return (
            diagnosis.runtime_problem(provider.extra)
            or diagnosis.plugin_problem(
                provider.plugin,
                provider.ort_name,
                extra=provider.extra,
                hardware=hardware,
                libraries=provider.libraries,
            )
            or diagnosis.usable(provider.packages, ort_name=provider.ort_name)
        )

    return diagnosed


class _Anything(dict[str, Option]):
    """The options of a provider that nobody here knows: every name, any text of one line."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(name)

    def __missing__(self, name: str) -> Option:
        return Option(f"{name}, unchecked", pattern="[^\\x00-\\x1f]*")


def _library(plugin: Plugin, extra: str) -> str:
    if plugin.library:
        if not Path(plugin.library).is_file():
            raise NotFound(path=plugin.library, expected="a provider's library")
        return plugin.library
    module = importlib.import_module(_module(plugin.distribution, extra))
    return str(module.get_library_path())


def _module(distribution: str, extra: str) -> str:
    """Name the import package that a distribution brings."""
    from importlib import metadata

    try:
        listed = metadata.distribution(distribution).read_text("top_level.txt") or ""
    except metadata.PackageNotFoundError as error:
        what = "This execution provider"
        raise MissingExtra(module=distribution, extra=extra, what=what) from error
    return (listed.split() or [distribution.replace("-", "_")])[0]


def refuse_library(name: str) -> BadValue:
    """Say that a provider is built into onnxruntime and takes no library."""
    return BadValue(
        what=f"A library for the provider {name}",
        asked="given",
        expected="none: it is part of onnxruntime and no plug-in",
    )
