"""Folders that one process works in, and that go with it, however it ends."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.compiled import trusted

if TYPE_CHECKING:
    from filelock import BaseFileLock

SUFFIX = ".scratch"

_LEFT_ALONE_S = 60.0


class Scratch:
    """A folder of this process's own, held by a lock inside it as long as the process works on it.

    `files` is the part that a provider sees.
    """

    def __init__(self, folder: Path, held: BaseFileLock | None) -> None:
        self.folder, self.files = folder, folder / "files"
        self._held, self._owner = held, os.getpid()
        self.files.mkdir(mode=0o700)

    @classmethod
    def beside(cls, place: Path) -> Scratch:
        """Make one in the cache, on the file system of the place that its content may get.

        Raises:
            OSError: nothing can be written or locked there.
        """
        for parent in (place.parents[2], place.parents[1], place.parent):
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep(place.parent)
        folder = place.parent / f".{secrets.token_hex(8)}{SUFFIX}"
        folder.mkdir(mode=0o700)
        try:
            return cls(folder, acquire(folder / "lock"))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    @classmethod
    def temporary(cls) -> Scratch:
        """Make one among the system's temporary files, which clears up after the killed."""
        return cls(Path(tempfile.mkdtemp(prefix="edgekit-compiled-")), None)

    def empty(self) -> None:
        """Remove what is in `files`."""
        shutil.rmtree(self.files)
        self.files.mkdir(mode=0o700)

    def remove(self) -> None:
        """Remove the whole folder and let go of it; in the process that made it, and only there."""
        if os.getpid() != self._owner:  # a forked child, on its way out
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._held is not None:
            self._held.release()
            # Where an open file can't be removed, the lock is still there.
            shutil.rmtree(self.folder, ignore_errors=True)


def sweep(folder: Path) -> int:
    """Remove what killed processes left behind in a model's folder; return how many bytes went.

    A living process holds the lock inside its scratch folder. One that was made only now may not
    have got to it yet and is left alone.
    """
    freed = 0
    for entry in folder.glob(f".*{SUFFIX}"):
        with contextlib.suppress(OSError):  # held, gone already, or not ours
            status = entry.lstat()
            if not stat.S_ISDIR(status.st_mode) or not trusted.is_own(status):
                continue
            if time.time() - status.st_mtime < _LEFT_ALONE_S:
                continue
            with locked(entry / "lock"):
                size = sum(file.lstat().st_size for file in entry.rglob("*") if file.is_file())
                shutil.rmtree(entry)
                freed += size
    return freed


def acquire(path: Path, *, timeout_s: float = 0.0) -> BaseFileLock:
    """Take a lock that ends with the process that holds it, and that any of its threads frees.

    Raises:
        filelock.Timeout: somebody else holds it; an OSError, like the next.
        OSError: there can be no such file, or none is locked there.
    """
    from filelock import FileLock

    # Made first: a lock whose file can't be made is waited for in vain.
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    os.close(os.open(path, flags, 0o600))
    held = FileLock(path, mode=0o600, thread_local=False)
    try:
        held.acquire(timeout=timeout_s)
    except NotImplementedError as error:  # what filelock says of such a file system
        raise OSError(errno.ENOLCK, "no file can be locked there") from error
    return held


@contextlib.contextmanager
def locked(path: Path, *, timeout_s: float = 0.0) -> Iterator[None]:
    """Hold a lock for a while; raises what `acquire` raises."""
    held = acquire(path, timeout_s=timeout_s)
    try:
        yield
    finally:
        held.release()
