"""The lock that whoever changes a package holds: a file in its folder, which no reader looks at.

It stays there: a lock file that is removed while others wait for it would let two of them through.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from edgekit.errors import NotFound, StorageError, as_storage_error

LOCK = ".editing.lock"
WAIT_S = 60.0


@contextlib.contextmanager
def editing_lock(folder: Path, *, wait_s: float = WAIT_S) -> Iterator[None]:
    """Hold the lock of the package in `folder`; a package that takes its place has its own.

    Raises:
        NotFound: there is no such folder.
        StorageError: no lock can be made there, or others hold it longer than `wait_s`.
    """
    from filelock import FileLock, Timeout

    while True:
        before = _inode(folder)
        if before is None:
            raise NotFound(path=str(folder), expected="a model package")
        _make_lock_file(folder)
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(timeout=wait_s)
        except Timeout as error:
            raise StorageError(
                path=str(folder),
                problem=f"another process has been changing it for more than {wait_s:g} s",
            ) from error
        except NotImplementedError as error:
            raise StorageError(path=str(folder), problem="no file can be locked there") from error
        try:
            # While this waited, another package may have taken the folder's place.
            if _inode(folder) == before:
                yield
                return
        finally:
            lock.release()


def _make_lock_file(folder: Path) -> None:
    """Make the file before it is locked: a lock that can't be made is waited for in vain."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        os.close(os.open(folder / LOCK, flags, 0o666))
    except FileNotFoundError:
        return  # the folder has just gone, which the next round finds
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR):
            problem = f"its {LOCK} is not a plain file"
            raise StorageError(path=str(folder), problem=problem) from error
        raise as_storage_error(error, path=folder) or error from error


def _inode(folder: Path) -> int | None:
    try:
        return folder.stat().st_ino
    except (FileNotFoundError, NotADirectoryError):
        return None
