"""The user's cache folder: what can be made again, kept so that it needn't be."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def folder() -> Path:
    """Return the cache folder, which may not exist yet.

    The environment variable EDGEKIT_CACHE names it; else it is where this system keeps a user's
    caches (``~/.cache/edgekit`` on Linux).
    """
    named = os.environ.get("EDGEKIT_CACHE")
    if named:
        path = Path(named)
        with contextlib.suppress(RuntimeError):  # no such user: then ~ is a name like any other
            path = path.expanduser()
        return path.absolute()
    import platformdirs

    return platformdirs.user_cache_path("edgekit", appauthor=False)


def store(path: Path, content: bytes) -> bool:
    """Write a file of the cache in one step, and say whether that was possible.

    A reader sees the old file, the new one, or none; never a part. False stands for a folder that
    can't be written or a disk that is full: a cache spares time and nothing may fail without it.
    """
    written = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        written.replace(path)
    except OSError:
        return False
    finally:
        # Gone already if it took the other's place; what is left of it goes, Ctrl-C included.
        with contextlib.suppress(OSError):
            written.unlink()
    return True


def store_report(kind: str, text: str) -> str:
    """Keep the full text behind a short error, and return the path; empty where it can't be kept.

    The name holds a hash of the text, so that the same failure is kept once.
    """
    import hashlib

    content = text.encode(errors="replace")
    path = folder() / "reports" / f"{kind}-{hashlib.sha256(content).hexdigest()[:12]}.txt"
    return str(path) if store(path, content) else ""
