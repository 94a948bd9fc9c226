"""What was measured of a package on one kind of machine: beside the manifest, never listed in it.

It lies in `measured/<speed key>.json` inside the package, or, where the package can't be written,
in the user's cache folder under the manifest's hash.
"""

from __future__ import annotations

import logging
from pathlib import Path

from edgekit import cache
from edgekit.package import reading

log = logging.getLogger("edgekit")

FOLDER = "measured"
MAX_BYTES = 256 << 20


def store(folder: Path, speed_key: str, content: bytes) -> Path | None:
    """Keep what was measured here; return where, or None where neither place can be written."""
    for place in _places(folder, speed_key):
        if cache.store(place, content):
            return place
    log.warning("what was measured of %s could not be kept", folder)
    return None


def machines(folder: Path) -> list[str]:
    """List the speed keys of the machines that this package was measured on."""
    found: set[str] = set()
    for place in _places(folder, "any"):
        if place.parent.is_dir():
            found.update(entry.stem for entry in place.parent.glob("*.json"))
    return sorted(found)


def load(folder: Path, speed_key: str) -> bytes | None:
    """Read what was measured on a kind of machine; None where nothing was."""
    for place in _places(folder, speed_key):
        if place.is_file() and not place.is_symlink() and place.stat().st_size <= MAX_BYTES:
            return place.read_bytes()
    return None


def _places(folder: Path, speed_key: str) -> tuple[Path, Path]:
    name = f"{speed_key}.json"
    return folder / FOLDER / name, cache.folder() / FOLDER / reading.identity(folder) / name
