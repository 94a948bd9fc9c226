"""Change a package that others may be changing: one at a time, from reading it to committing it."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from edgekit.package import commit, reading
from edgekit.package.locking import WAIT_S, editing_lock
from edgekit.package.values import Package

Change: TypeAlias = Callable[[Package], tuple[Package, Mapping[str, bytes | Path]]]
"""What an edit makes of a package: its new values, and new files by the names that they use."""


def edit(folder: Path, change: Change, *, wait_s: float = WAIT_S) -> Package:
    """Change a package's values and add files to it, while nobody else can.

    Nothing that takes long belongs into `change`: others wait for it. A crash, or an error that
    `change` raises, leaves the package as it was.

    Args:
        folder: the package.
        change: takes the package as it is now; the files that it returns by path are copied.
        wait_s: how long to wait for others that are changing it.

    Raises:
        NotFound, CorruptPackage: there is no package that can be read.
        StorageError: no lock can be made in its folder, others hold it longer than `wait_s`, or
            the disk is full or not writable; what was there before still stands.
    """
    reading.read(folder)  # no lock is left behind in what isn't a package
    with editing_lock(folder, wait_s=wait_s):
        package, contents = change(reading.read(folder))
        with _copied_into(folder, contents) as inside:
            return commit.commit(folder, package, inside)


@contextlib.contextmanager
def _copied_into(
    folder: Path, contents: Mapping[str, bytes | Path]
) -> Iterator[dict[str, bytes | Path]]:
    """Bring files to where `commit` can rename them; what it doesn't take is removed."""
    inside: dict[str, bytes | Path] = {}
    copies: list[Path] = []
    try:
        with commit.storage_errors(folder):
            for name, content in contents.items():
                if isinstance(content, Path):
                    copy = folder / f".{name}.{secrets.token_hex(4)}{commit.PARTIAL}"
                    copies.append(copy)
                    shutil.copyfile(content, copy)
                    inside[name] = copy
                else:
                    inside[name] = content
        yield inside
    finally:
        for copy in copies:
            with contextlib.suppress(OSError):  # what can't be removed now, the next commit sweeps
                copy.unlink(missing_ok=True)
