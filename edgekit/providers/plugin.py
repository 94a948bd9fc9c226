"""Providers that come as a library of their own, which onnxruntime loads when asked.

A distribution of such a provider brings an import package with `get_library_path()`, by the
convention that onnxruntime's plug-in packages share.
"""

from __future__ import annotations

import importlib
import threading
from typing import Any

from edgekit.errors import MissingExtra

_registered: set[str] = set()  # onnxruntime refuses a second registration under one name
_registering = threading.Lock()


def devices(distribution: str, ort_name: str, *, extra: str) -> list[Any]:
    """Load a distribution's provider into onnxruntime, once a process, and list its devices.

    Only devices of exactly this provider are listed, as `OrtEpDevice`s in onnxruntime's order: a
    session refuses a mixture. The list is empty where the provider finds no hardware for it.

    Raises:
        MissingExtra: the distribution isn't installed.
        Exception: whatever onnxruntime raises where it can't load the library.
    """
    import onnxruntime

    with _registering:
        if distribution not in _registered:
            library = importlib.import_module(_module(distribution, extra)).get_library_path()
            onnxruntime.register_execution_provider_library(f"edgekit.{distribution}", library)
            _registered.add(distribution)
    return [device for device in onnxruntime.get_ep_devices() if device.ep_name == ort_name]


def _module(distribution: str, extra: str) -> str:
    """Name the import package that a distribution brings."""
    from importlib import metadata

    try:
        listed = metadata.distribution(distribution).read_text("top_level.txt") or ""
    except metadata.PackageNotFoundError as error:
        what = "This execution provider"
        raise MissingExtra(module=distribution, extra=extra, what=what) from error
    return (listed.split() or [distribution.replace("-", "_")])[0]
