"""The lock that whoever changes a package holds: a file in its folder, which no reader looks at.

It stays there: a lock file that is removed while others wait for it would let two of them through.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

from edgekit.errors import NotFound, StorageError
from edgekit.storage import as_storage_error

LOCK = ".editing.lock"
WAIT_S = 60.0
_POLL_S = 0.05


@contextlib.contextmanager
def editing_lock(folder: Path, *, wait_s: float = WAIT_S) -> Iterator[None]:
    """Hold the lock of the package in `folder`; a package that takes its place has its own.

    Raises:
        NotFound: there is no such folder.
        StorageError: no lock can be made there, or others hold it longer than `wait_s`.
    """
    from filelock import FileLock, Timeout

    deadline = time.monotonic() + wait_s
    while True:
        # The package may go, or another take its place, while this waits: each time anew.
        before = _inode(folder)
        if before is None:
            raise NotFound(path=str(folder), expected="a model package")
        refuse_unlockable(folder)
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            if time.monotonic() >= deadline:
                raise StorageError(
                    path=str(folder),
                    problem=f"another process has been changing it for more than {wait_s:g} s",
                ) from error
            time.sleep(_POLL_S)
            continue
        except NotImplementedError as error:
            raise StorageError(path=str(folder), problem="no file can be locked there") from error
        try:
            if _inode(folder) == before:
                yield
                return
        finally:
            lock.release()


def refuse_unlockable(folder: Path) -> None:
    """Raise StorageError where no lock can be made, before anything long starts.

    This makes the lock's file: a lock whose file can't be made would be waited for in vain.
    """
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
