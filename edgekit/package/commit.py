"""Write a package so that a crash leaves the old one or the new one, never a mixture.

The manifest is the commit point: new content gets a new file name and is on the disk before
`os.replace` swaps the manifest; files that no manifest names any more go afterwards.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from edgekit.errors import StorageError, WouldOverwrite
from edgekit.package import manifest, reading
from edgekit.package.locking import editing_lock
from edgekit.package.values import FileRecord, Graph, Package
from edgekit.storage import as_storage_error

PARTIAL = ".partial"
_LOCK = ".lock"
_CHUNK = 4 << 20
_SWEEP_S = 10.0
"""Longer than a sweep holds the lock of a package that isn't there yet."""
_REMOVALS = 5
"""A package that was replaced may get a lock file from whoever came to its path just before."""


@contextlib.contextmanager
def new_package(folder: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; when the block ends well, it becomes `folder`.

    Whatever goes wrong inside the block, an interrupt included, leaves `folder` as it was. Of two
    processes that make the same package the last one wins, where both may overwrite.

    Raises:
        WouldOverwrite: `folder` exists, and isn't a package or `overwrite` is off.
        StorageError: the disk is full or not writable.
    """
    from filelock import FileLock, Timeout

    reading.recover(folder)
    refuse_overwrite(folder, overwrite=overwrite)
    with storage_errors(folder):
        folder = folder.parent.resolve() / folder.name if folder.name else folder.resolve()
        missing = [parent for parent in folder.parents if not parent.exists()]
        _make_parent(folder)
        _sweep(folder)
        partial = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}{PARTIAL}")
        # Held as long as this process works on it: what a killed one left behind has no holder.
        lock = FileLock(partial.with_suffix(_LOCK))
        try:
            partial.with_suffix(_LOCK).touch()
            # Nobody else makes this name, but a sweep may have found it before it was locked.
            lock.acquire(timeout=_SWEEP_S)
        except (Timeout, FileNotFoundError) as error:
            raise StorageError(path=str(folder), problem="no file can be made there") from error
    try:
        with storage_errors(folder):
            partial.mkdir()
        try:
            yield partial
        except StorageError as error:
            # The user knows the folder that this is to become.
            path = error.facts["path"].replace(str(partial), str(folder))
            raise StorageError(path=path, problem=error.facts["problem"]) from error
        with storage_errors(folder):
            _put_in_place(partial, folder, overwrite=overwrite)
    finally:
        _remove(partial)
        lock.release()
        if not folder.exists():
            with contextlib.suppress(OSError):  # somebody else's by now
                for parent in missing:
                    parent.rmdir()


def refuse_overwrite(folder: Path, *, overwrite: bool) -> None:
    """Raise WouldOverwrite unless `folder` is free, or a package that may be replaced."""
    if folder.is_symlink() or folder.exists():
        ours = not folder.is_symlink() and reading.is_package(folder)
        if not (overwrite and ours):
            raise WouldOverwrite(path=str(folder), is_package=ours)


def commit(folder: Path, package: Package, contents: Mapping[str, bytes | Path]) -> Package:
    """Write new files and the manifest that lists them; return the package with its file records.

    `contents` are the new files by the name that `package` uses for them: bytes, or the path of a
    file in `folder` to take over. Files that `package.files` lists stay as they are, those that
    `package` uses no more go. A name that other content has taken gets eight hex digits of the
    new hash. There is one writer at a time: two that commit to one folder could lose each other's
    files, which is why a package that is in use is changed by `edgekit.package.editing.edit`.

    Raises:
        StorageError: the disk is full or not writable; what was there before still stands.
        CorruptPackage: the package contradicts itself; nobody could read it again.
    """
    with storage_errors(folder):
        listed = _listed_before(folder)
        renamed: dict[str, str] = {}
        records = dict(package.files)
        for name, content in contents.items():
            record = record_of(content)
            renamed[name] = _free_name(name, record, listed)
            records.pop(name, None)
            records[renamed[name]] = record
        package = _with_names(package, renamed)
        used = sorted(set(manifest.referenced_files(package)) & records.keys())
        package = msgspec.structs.replace(package, files={name: records[name] for name in used})
        encoded = manifest.encode(package)
        manifest.decode(encoded, path=str(folder))
        for name, content in contents.items():
            _place(folder / renamed[name], content)
        _replace_file(folder / manifest.NAME, encoded)
        _sync_folder(folder)
        for name in listed.keys() - package.files.keys():
            (folder / name).unlink(missing_ok=True)
        for left in folder.glob(f".*{PARTIAL}"):
            left.unlink(missing_ok=True)
    return package


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write into one sentence about `path`."""
    try:
        yield
    except OSError as error:
        known = as_storage_error(error, path=path)
        if known is None:
            raise
        raise known from error


def _listed_before(folder: Path) -> dict[str, FileRecord]:
    if not (folder / manifest.NAME).exists():
        return {}
    return dict(reading.read(folder).files)


def record_of(content: bytes | Path) -> FileRecord:
    """Return the SHA-256 and the size of a file that is to be listed."""
    if isinstance(content, bytes):
        return FileRecord(hashlib.sha256(content).hexdigest(), len(content))
    digest = hashlib.sha256()
    with content.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return FileRecord(digest.hexdigest(), content.stat().st_size)


def _free_name(name: str, record: FileRecord, listed: Mapping[str, FileRecord]) -> str:
    if listed.get(name, record) == record:
        return name
    stem, dot, suffix = name.partition(".")
    return f"{stem}.{record.sha256[:8]}{dot}{suffix}"


def _place(path: Path, content: bytes | Path) -> None:
    if isinstance(content, bytes):
        _replace_file(path, content)
        return
    with content.open("rb+") as file:
        os.fsync(file.fileno())
    if content != path:
        content.replace(path)


def _replace_file(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _with_names(package: Package, renamed: Mapping[str, str]) -> Package:
    """Use the final file names wherever the package's values name a file."""

    def named(name: str) -> str:
        return renamed.get(name, name)

    replace = msgspec.structs.replace

    def moved(graph: Graph) -> Graph:
        case_files = {
            field: replace(cases, file=named(cases.file))
            for field in ("reference", "evaluation", "calibration")
            if (cases := getattr(graph, field)) is not None
        }
        return replace(graph, **case_files)

    return replace(
        package,
        graphs=tuple(map(moved, package.graphs)),
        variants=tuple(
            replace(v, model=named(v.model), files=tuple(named(n) for n in v.files))
            for v in package.variants
        ),
        assets=tuple(replace(a, file=named(a.file)) for a in package.assets),
    )


def _make_parent(folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # what mkdir says of a parent that is a file
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error


def _put_in_place(partial: Path, folder: Path, *, overwrite: bool) -> None:
    """Make the new folder the package, whatever has become of `folder` in the meantime."""
    refuse_overwrite(folder, overwrite=overwrite)
    if not folder.exists():
        try:
            partial.rename(folder)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            # Another process has just put one there.
            _put_in_place(partial, folder, overwrite=overwrite)
            return
    else:
        with _nobody_editing(folder):
            if not _swap(partial, folder):
                # For a moment there is none: `reading.recover` mends an interruption in between.
                aside = reading.previous(folder)
                shutil.rmtree(aside, ignore_errors=True)
                folder.rename(aside)
                partial.rename(folder)
    _sync_folder(folder.parent)
    shutil.rmtree(reading.previous(folder), ignore_errors=True)


def _nobody_editing(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Wait for whoever is changing the package that is replaced; one that nobody can write into
    is changed by none.
    """
    return editing_lock(folder) if os.access(folder, os.W_OK) else contextlib.nullcontext()


def _swap(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; False where this system has no such step."""
    if not sys.platform.startswith("linux"):
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    done: int = rename(_AT_CWD, os.fsencode(one), _AT_CWD, os.fsencode(other), _EXCHANGE)
    return done == 0


_AT_CWD, _EXCHANGE = -100, 2


def _sweep(folder: Path) -> None:
    """Remove what killed exports of the same package left behind; a living one holds its lock."""
    from filelock import FileLock, Timeout

    lock = re.compile(rf"\.{re.escape(folder.name)}\.[0-9a-f]{{8}}{re.escape(_LOCK)}")
    for entry in [entry for entry in folder.parent.iterdir() if lock.fullmatch(entry.name)]:
        with contextlib.suppress(Timeout), FileLock(entry, timeout=0):
            _remove(entry.with_suffix(PARTIAL))


def _remove(partial: Path) -> None:
    """Remove an unfinished folder, and its lock last: what has no lock is never swept."""
    for _ in range(_REMOVALS):
        shutil.rmtree(partial, ignore_errors=True)
        if not partial.exists():
            break
    if not partial.exists():
        with contextlib.suppress(OSError):  # gone already, or held open where that forbids it
            partial.with_suffix(_LOCK).unlink()


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
