"""Whether an import package's files are those that their distribution installed."""

from __future__ import annotations

import base64
import csv
import hashlib
from pathlib import Path
from typing import NamedTuple

from edgekit.installed import Owner

_SUFFIXES = (".py", ".pyd", ".dll", ".dylib", ".so")


class Changed(NamedTuple):
    """How many files of a distribution were looked at, and which are others, or gone."""

    looked_at: int
    files: tuple[str, ...]


def changed(owner: Owner, package: str) -> Changed:
    """Hold the code of a distribution below an import package against its list of files.

    The list (RECORD, of the packaging standard "Recording installed projects") has each file's
    SHA-256 and size. Only Python's files and libraries are looked at: some 300 MB at most, which
    takes a fraction of a second.
    """
    looked_at, differing = 0, []
    listed = (owner.metadata / "RECORD").read_text(encoding="utf-8", errors="replace")
    try:
        rows = list(csv.reader(listed.splitlines()))
    except csv.Error:  # no such list as any tool writes
        return Changed(1, (f"{owner.metadata.name}/RECORD",))
    for row in rows:
        name, digest, size = (*row, "", "", "")[:3]
        if not name.startswith(f"{package}/") or not _is_code(name):
            continue
        kind, _, expected = digest.partition("=")
        if kind != "sha256":  # compiled files have no hash, and nothing else has another
            continue
        looked_at += 1
        if not _is(owner.metadata.parent / name, expected, size):
            differing.append(name)
    return Changed(looked_at, tuple(differing))


def _is_code(name: str) -> bool:
    return name.endswith(_SUFFIXES) or ".so." in name.rpartition("/")[2]


def _is(path: Path, expected: str, size: str) -> bool:
    """Compare a file with its recorded size, and its hash where the size is right."""
    try:
        if size.isdigit() and path.stat().st_size != int(size):
            return False
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
    except (OSError, ValueError):  # gone, or a name that can be no file's
        return False
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == expected
