"""The operating system's refusals to write, as sentences."""

from __future__ import annotations

import errno
import os

from edgekit.errors import StorageError

_STORAGE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file would be larger than is allowed here",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission was denied",
    errno.EPERM: "permission was denied",
    errno.ENOTDIR: "a part of the path is a file and not a folder",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EIO: "the disk reported an error",
}


def as_storage_error(
    error: Exception, *, path: str | os.PathLike[str] | None = None
) -> StorageError | None:
    """Return the sentence for an operating system's refusal to write; None for anything else."""
    if not isinstance(error, OSError) or error.errno not in _STORAGE:
        return None
    where = path or error.filename or "A file"
    return StorageError(path=os.fspath(where), problem=_STORAGE[error.errno])
