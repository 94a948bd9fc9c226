"""Open a package that may come from anywhere: read its manifest, and its files as they were packed.

Every file is read through one open descriptor that follows no link, so that what was hashed is
what is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import BinaryIO

import msgspec

from edgekit.errors import CorruptPackage, HashMismatch, NotFound, UnknownName
from edgekit.package import manifest
from edgekit.package.values import PORTABLE, TUNED, FileRecord, Graph, Package, Variant

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
    """Tell whether a folder holds a manifest of edgekit's, of whatever version."""
    try:
        with open_plain(path, manifest.NAME) as file:
            whole = json.loads(file.read(manifest.MAX_BYTES))
        return "edgekit" in whole["additional_metadata"]
    except (CorruptPackage, ValueError, RecursionError, LookupError, TypeError):
        return False


def previous(folder: Path) -> Path:
    """Name where a package lies while another takes its place."""
    return folder.with_name(f".{folder.name}.previous")


def read(folder: Path) -> Package:
    """Read the package in `folder`, put back first if its replacement was interrupted.

    Raises:
        NotFound: there is no such folder.
        CorruptPackage: it isn't a package, or its manifest cannot be trusted.
    """
    recover(folder)
    if not os.path.lexists(folder):
        raise NotFound(path=str(folder))
    with open_plain(folder, manifest.NAME) as file:
        raw = file.read(manifest.MAX_BYTES + 1)
    return manifest.decode(raw, path=str(folder))


def recover(folder: Path) -> None:
    """Put back the package that was here before, where its replacement was interrupted."""
    if not os.path.lexists(folder) and is_package(previous(folder)):
        # Another reader may have been quicker.
        with contextlib.suppress(FileNotFoundError):
            previous(folder).rename(folder)


def open_verified(folder: Path, name: str, record: FileRecord, *, whole: bool = False) -> Verified:
    """Hash a listed file through an open descriptor and return it if it is what was packed.

    `whole` keeps the content in memory whatever its size.

    Raises:
        CorruptPackage: it is missing, a link, not a plain file, or has another size.
        HashMismatch: its SHA-256 differs from the manifest's.
    """
    with open_plain(folder, name) as file:
        status = os.fstat(file.fileno())
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
    return Verified(folder / name, content, _stamp(status))


def copy_verified(folder: Path, name: str, record: FileRecord, *, to: Path) -> None:
    """Copy a listed file, hashing the very bytes that are written.

    Raises what `open_verified` raises; then there is a file at `to` that nobody may use.
    """
    digest, size = hashlib.sha256(), 0
    with open_plain(folder, name) as file, to.open("xb") as copy:
        while size <= record.size and (chunk := file.read(_CHUNK)):
            digest.update(chunk)
            size += copy.write(chunk)
    if size != record.size:
        raise CorruptPackage(
            path=str(folder),
            problem=f"{name} has other than the {record.size} bytes that it was packed with",
        )
    found = digest.hexdigest()
    if found != record.sha256:
        raise HashMismatch(path=str(folder), file=name, expected=record.sha256, found=found)


def unchanged(verified: Verified) -> bool:
    """Tell whether the path of a large file still leads to the file that was hashed."""
    try:
        return _stamp(verified.path.stat()) == verified.stamp
    except OSError:
        return False


def files_of(variant: Variant) -> tuple[str, ...]:
    """List a variant's files, the .onnx first."""
    return (variant.model, *variant.files)


def variant_named(package: Package, name: str) -> Variant:
    """Find a variant by its name; PORTABLE names the first one.

    Raises:
        UnknownName: there is no such variant.
    """
    for variant in package.variants:
        if name in (variant.name, PORTABLE):
            return variant
    names = [PORTABLE, *(variant.name for variant in package.variants)]
    action = f"{TUNED!r} is no name: call what was chosen by its own." if name == TUNED else ""
    raise UnknownName(
        kind="variant", of=f"of {package.name}", asked=name, available=names, action=action
    )


def graph_of(package: Package, variant: Variant) -> Graph:
    """Find the graph that a variant is of, with its inputs, outputs and cases."""
    return next(graph for graph in package.graphs if graph.name == variant.graph)


def identity(folder: Path) -> str:
    """Return the manifest's SHA-256: what names exactly this package."""
    return hashlib.sha256((folder / manifest.NAME).read_bytes()).hexdigest()


def open_plain(folder: Path, name: str) -> BinaryIO:
    """Open a plain file of a package; anything else there is refused."""
    # O_NONBLOCK: opening a named pipe must fail the check for a plain file, not wait for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(folder / name, flags)
    except OSError as error:
        raise CorruptPackage(
            path=str(folder), problem=f"{name} cannot be opened ({error.strerror})"
        ) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CorruptPackage(path=str(folder), problem=f"{name} is not a plain file")
    return os.fdopen(descriptor, "rb")


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_ino, status.st_size, status.st_mtime_ns)
