"""What was measured of a package on one kind of machine: beside the manifest, never listed in it.

It lies in `measured/<kind>/<speed key>.json` inside the package, or, where the package can't be
written, in the user's cache folder under the manifest's hash.
"""

from __future__ import annotations

import logging
from pathlib import Path

from edgekit import cache
from edgekit.package import reading
from edgekit.terms import Evidence

log = logging.getLogger("edgekit")

FOLDER = "measured"
MAX_BYTES = 256 << 20


def store(folder: Path, speed_key: str, content: bytes, *, kind: Evidence) -> Path | None:
    """Keep what was measured here; return where, or None where neither place can be written."""
    for place in _places(folder, speed_key, kind):
        if cache.store(place, content):
            return place
    log.warning("what was measured of %s could not be kept", folder)
    return None


def machines(folder: Path, *, kind: Evidence) -> list[str]:
    """List the speed keys of the machines that something of this kind is known of."""
    found: set[str] = set()
    for place in _places(folder, "any", kind):
        if place.parent.is_dir():
            found.update(entry.stem for entry in place.parent.glob("*.json"))
    return sorted(found)


def load(folder: Path, speed_key: str, *, kind: Evidence) -> bytes | None:
    """Read what was last measured on a kind of machine; None where nothing was."""
    found = [
        place
        for place in _places(folder, speed_key, kind)
        if place.is_file() and not place.is_symlink() and place.stat().st_size <= MAX_BYTES
    ]
    last = max(found, key=lambda place: place.stat().st_mtime_ns, default=None)
    return last.read_bytes() if last is not None else None


def _places(folder: Path, speed_key: str, kind: Evidence) -> tuple[Path, ...]:
    name = f"{speed_key}.json"
    inside = folder / FOLDER
    try:
        kept = cache.folder() / FOLDER / reading.identity(folder) / kind / name
    except OSError:  # the package went away while it was measured
        return ()
    # A package may come from anywhere, and a link in it lead anywhere.
    linked = inside.is_symlink() or (inside / kind).is_symlink()
    return (kept,) if linked else (inside / kind / name, kept)
