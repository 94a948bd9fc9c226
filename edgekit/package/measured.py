"""What was measured of a package on one kind of machine: beside the manifest, never listed in it.

It lies in `measured/<kind>/<speed key>.json` inside the package, or, where the package can't be
written, in the user's cache folder under the manifest's hash.
"""

from __future__ import annotations

import os
from pathlib import Path

from edgekit import cache
from edgekit.errors import CorruptPackage
from edgekit.package import manifest, reading
from edgekit.terms import Evidence

FOLDER = "measured"
MAX_BYTES = 256 << 20


def store(folder: Path, speed_key: str, content: bytes, *, kind: Evidence) -> Path | None:
    """Keep what was measured here; return where, or None where neither place can be written."""
    for place in _places(folder, speed_key, kind):
        if cache.store(place, content):
            return place
    import logging  # 4 ms, for which a model that is loaded has no use

    logging.getLogger("edgekit").warning("what was measured of %s could not be kept", folder)
    return None


def machines(folder: Path, *, kind: Evidence) -> list[str]:
    """List the speed keys of the machines that something of this kind is known of."""
    found: set[str] = set()
    for place in _places(folder, "any", kind):
        if place.parent.is_dir():
            found.update(
                entry.stem
                for entry in place.parent.glob("*.json")
                if manifest.plain_name(entry.name)
            )
    return sorted(found)


def load(
    folder: Path, speed_key: str, *, kind: Evidence, max_bytes: int | None = None
) -> bytes | None:
    """Read what was last measured on a kind of machine; None where nothing was, or it has more than
    `max_bytes`, MAX_BYTES unless given."""
    limit = MAX_BYTES if max_bytes is None else max_bytes
    found = [read for place in _places(folder, speed_key, kind) if (read := _read(place, limit))]
    return max(found)[1] if found else None


def _read(place: Path, max_bytes: int) -> tuple[int, bytes] | None:
    """Read a plain file with its time, through one descriptor: it may be replaced meanwhile."""
    try:
        with reading.open_plain(place.parent, place.name) as file:
            status = os.fstat(file.fileno())
            content = file.read(max_bytes + 1)
    except (CorruptPackage, OSError):  # not there, a link, a pipe, or not for this user
        return None
    return (status.st_mtime_ns, content) if len(content) <= max_bytes else None


def _places(folder: Path, speed_key: str, kind: Evidence) -> tuple[Path, ...]:
    name = f"{speed_key}.json"
    if not manifest.plain_name(name):  # a key that leads elsewhere is none
        return ()
    inside = folder / FOLDER
    try:
        kept = cache.folder() / FOLDER / reading.identity(folder) / kind / name
    except OSError:  # the package went away while it was measured
        return ()
    # A package may come from anywhere, and a link in it lead anywhere.
    linked = inside.is_symlink() or (inside / kind).is_symlink()
    return (kept,) if linked else (inside / kind / name, kept)
