"""Open a package that may come from anywhere: read its manifest, and its files as they were packed.

Every file is read through one open descriptor that follows no link, so that what was hashed is
what is used.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import msgspec

from edgekit.errors import CorruptPackage, HashMismatch, NotFound
from edgekit.package import manifest
from edgekit.package.values import FileRecord, Package, Variant

IN_MEMORY_BYTES = 64 << 20
"""Up to this size a session is made from the very bytes that were hashed; a larger file is loaded
by path, since a session keeps such bytes for life."""
_CHUNK = 4 << 20


class Stamp(msgspec.Struct, frozen=True):
    """What tells that a path still leads to the file that was hashed."""

    inode: int
    size: int
    mtime_ns: int


class Verified(msgspec.Struct, frozen=True):
    """A file that is what the manifest says: its content, or its stamp where it is large."""

    path: Path
    content: bytes | None
    stamp: Stamp


def is_package(path: Path) -> bool:
    """Tell whether a folder holds a manifest of edgekit's (readable or not any more)."""
    try:
        raw = (path / manifest.NAME).read_bytes()
    except OSError:
        return False
    return b'"edgekit"' in raw


def previous(folder: Path) -> Path:
    """Name where a package lies while another takes its place."""
    return folder.with_name(f".{folder.name}.previous")


def read(folder: Path) -> Package:
    """Read the package in `folder`.

    Where a replacement was interrupted between its two renames, the package that was there before
    is put back first.

    Raises:
        NotFound: there is no such folder.
        CorruptPackage: it isn't a package, or its manifest cannot be trusted.
    """
    if not folder.exists() and is_package(previous(folder)):
        previous(folder).rename(folder)
    if not folder.exists():
        raise NotFound(path=str(folder))
    path = folder / manifest.NAME
    try:
        descriptor = _open_plain(path)
    except OSError as error:
        raise CorruptPackage(path=str(folder), problem=f"it has no {manifest.NAME}") from error
    with os.fdopen(descriptor, "rb") as file:
        raw = file.read(manifest.MAX_BYTES + 1)
    return manifest.decode(raw, path=str(folder))


def open_verified(folder: Path, name: str, record: FileRecord, *, whole: bool = False) -> Verified:
    """Hash a listed file through an open descriptor and return it if it is what was packed.

    `whole` keeps the content in memory whatever its size.

    Raises:
        CorruptPackage: it is missing, a link, or not a plain file.
        HashMismatch: its size or its SHA-256 differs from the manifest's.
    """
    path = folder / name
    try:
        descriptor = _open_plain(path)
    except OSError as error:
        raise CorruptPackage(
            path=str(folder), problem=f"{name} cannot be opened ({error.strerror})"
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise CorruptPackage(path=str(folder), problem=f"{name} is not a plain file")
        if status.st_size != record.size:
            raise CorruptPackage(
                path=str(folder),
                problem=f"{name} has {status.st_size} bytes and was packed with {record.size}",
            )
        if whole or record.size <= IN_MEMORY_BYTES:
            content: bytes | None = file.read(record.size + 1)
            found = hashlib.sha256(content or b"").hexdigest()
        else:
            content = None
            digest = hashlib.sha256()
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
            found = digest.hexdigest()
    if found != record.sha256:
        raise HashMismatch(path=str(folder), file=name, expected=record.sha256, found=found)
    return Verified(path, content, _stamp(status))


def unchanged(verified: Verified) -> bool:
    """Tell whether the path of a large file still leads to the file that was hashed."""
    return _stamp(verified.path.lstat()) == verified.stamp


def files_of(variant: Variant) -> tuple[str, ...]:
    """List a variant's files, the .onnx first."""
    return (variant.model, *variant.files)


def identity(folder: Path) -> str:
    """Return the manifest's SHA-256: what names exactly this package."""
    return hashlib.sha256((folder / manifest.NAME).read_bytes()).hexdigest()


def _open_plain(path: Path) -> int:
    # O_NONBLOCK: opening a named pipe must fail the check for a plain file, not wait for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    return os.open(path, flags | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_ino, status.st_size, status.st_mtime_ns)
