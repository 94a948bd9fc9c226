"""What a TARGET is called: in a package, which tells nothing about its maker, and on the disk."""

from __future__ import annotations

import re
from pathlib import Path

_NOT_A_FILE_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def label_of(target: str) -> str:
    """Name a TARGET without the folder it lies in."""
    form, colon, rest = target.partition(":")
    if form == "hf" and colon:
        return f"hf:{Path(rest).resolve().name}" if Path(rest).is_dir() else target
    path, colon, factory = target.rpartition(":")
    return f"{Path(path).name}:{factory}" if colon else Path(target).name


def package_stem(target: str) -> str:
    """Return what the package of a TARGET is called by default, before its suffix."""
    label = label_of(target)
    form, colon, rest = label.partition(":")
    if form in ("timm", "hf") and colon:
        named = rest.rpartition("/")[2]
    elif form.endswith(".py"):
        named = form.removesuffix(".py")
    elif colon:
        named = form.rpartition(".")[2]
    else:
        named = label.removesuffix(".pt2")
    return _NOT_A_FILE_NAME.sub("-", named) or "model"
