"""Which distributions are installed, told without importing any of them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable

from edgekit.errors import MissingExtra

EXTRAS = {
    "onnxruntime": "cpu",
    "onnx": "build",
    "onnx_ir": "build",
    "onnxscript": "export",
    "torch": "export",
    "mlxtend": "models",
    "timm": "timm",
    "torchvision": "timm",
    "transformers": "hf",
    "ml_dtypes": "build",
}
"""Import packages that an extra of edgekit-onnx brings, and which."""

RUNTIMES = ("onnxruntime", "onnxruntime-gpu")
"""Distributions that bring the import package `onnxruntime`; only one may be installed."""


def distributions(names: Iterable[str]) -> dict[str, str]:
    """Find the versions of those of the named distributions that are installed.

    Read off the names of the metadata folders on `sys.path`, the first found of each as the
    import system has it: `importlib.metadata` says the same and takes 35 ms to be imported.
    """
    wanted = {_folder_name(name): name for name in names}
    found: dict[str, str] = {}
    for folder in sys.path:
        try:
            entries = sorted(entry.name for entry in os.scandir(folder or "."))
        except OSError:  # a zip, or a folder that isn't there
            continue
        for entry in entries:
            match = _METADATA.fullmatch(entry)
            if match and (name := wanted.get(_folder_name(match["name"]))):
                found.setdefault(name, match["version"])
    return {name: found[name] for name in wanted.values() if name in found}


_METADATA = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)(-py[\d.]+)?\.(dist|egg)-info")


def missing_extra(error: Exception) -> MissingExtra | None:
    """Name the extra behind a failed import; None where no extra of edgekit's brings the module."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    module = error.name.partition(".")[0]
    if module not in EXTRAS:
        return None
    return MissingExtra(module=module, extra=EXTRAS[module], what="This")


def _folder_name(distribution: str) -> str:
    return re.sub(r"[-_.]+", "_", distribution).lower()
