"""Write a package so that a crash leaves the old one or the new one, never a mixture.

The manifest is the commit point: new content gets a new file name and is on the disk before
`os.replace` swaps the manifest; files that no manifest names any more go afterwards.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from edgekit.errors import StorageError, WouldOverwrite
from edgekit.package import manifest, reading
from edgekit.package.values import FileRecord, Package

_PARTIAL = ".partial"
_CHUNK = 4 << 20


@contextlib.contextmanager
def new_package(folder: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; when the block ends well, it becomes `folder`.

    Whatever goes wrong inside the block, an interrupt included, leaves `folder` as it was.

    Raises:
        WouldOverwrite: `folder` exists, and isn't a package or `overwrite` is off.
        StorageError: the disk is full or not writable.
    """
    refuse_overwrite(folder, overwrite=overwrite)
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        partial = Path(
            tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=_PARTIAL, dir=folder.parent)
        )
    try:
        yield partial
        with storage_errors(folder):
            partial.chmod(0o755)
            _exchange(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def refuse_overwrite(folder: Path, *, overwrite: bool) -> None:
    """Raise WouldOverwrite unless `folder` is free, or a package that may be replaced."""
    if folder.is_symlink() or folder.exists():
        ours = not folder.is_symlink() and reading.is_package(folder)
        if not (overwrite and ours):
            raise WouldOverwrite(path=str(folder), is_package=ours)


def commit(folder: Path, package: Package, contents: Mapping[str, bytes | Path]) -> Package:
    """Write new files and the manifest that lists them; return the package with its file records.

    `contents` are the new files by the name that `package` uses for them: bytes, or the path of a
    file in `folder` to take over. Files that `package.files` lists already stay as they are. A
    name that other content has taken gets eight hex digits of the new hash.

    Raises:
        StorageError: the disk is full or not writable; what was there before still stands.
    """
    with storage_errors(folder):
        listed = _listed_before(folder)
        renamed: dict[str, str] = {}
        records = dict(package.files)
        for name, content in contents.items():
            record = _record(content)
            final = name
            if name in listed and listed[name] != record:
                stem, dot, suffix = name.partition(".")
                final = f"{stem}.{record.sha256[:8]}{dot}{suffix}"
            renamed[name] = final
            records.pop(name, None)
            records[final] = record
            _place(folder / final, content)
        package = _with_names(package, renamed)
        package = msgspec.structs.replace(package, files=dict(sorted(records.items())))
        _replace_file(folder / manifest.NAME, manifest.encode(package))
        _sync_folder(folder)
        for name in listed.keys() - package.files.keys():
            (folder / name).unlink(missing_ok=True)
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


def as_storage_error(error: Exception, *, path: Path | None = None) -> StorageError | None:
    """Return the sentence for an operating system's refusal to write; None for anything else."""
    if not isinstance(error, OSError) or error.errno not in _STORAGE:
        return None
    where = path or error.filename or "A file"
    return StorageError(path=str(where), problem=_STORAGE[error.errno])


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


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        StorageError: the disk is full or not writable.
    """
    with storage_errors(path):
        _replace_file(path, content)


def _listed_before(folder: Path) -> dict[str, FileRecord]:
    if not (folder / manifest.NAME).exists():
        return {}
    return dict(reading.read(folder).files)


def _record(content: bytes | Path) -> FileRecord:
    if isinstance(content, bytes):
        return FileRecord(hashlib.sha256(content).hexdigest(), len(content))
    digest = hashlib.sha256()
    with content.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return FileRecord(digest.hexdigest(), content.stat().st_size)


def _place(path: Path, content: bytes | Path) -> None:
    if isinstance(content, bytes):
        _replace_file(path, content)
        return
    with content.open("rb+") as file:
        os.fsync(file.fileno())
    if content != path:
        content.replace(path)
    path.chmod(0o644)


def _replace_file(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _with_names(package: Package, renamed: Mapping[str, str]) -> Package:
    """Use the final file names wherever the package's values name a file."""

    def named(name: str) -> str:
        return renamed.get(name, name)

    replace = msgspec.structs.replace
    case_files = {
        field: replace(cases, file=named(cases.file))
        for field in ("reference", "evaluation", "calibration")
        if (cases := getattr(package, field)) is not None
    }
    return replace(
        package,
        variants=tuple(
            replace(v, model=named(v.model), files=tuple(named(n) for n in v.files))
            for v in package.variants
        ),
        assets=tuple(replace(a, file=named(a.file)) for a in package.assets),
        **case_files,
    )


def _exchange(partial: Path, folder: Path) -> None:
    """Put the new folder where the old one is; `reading.read` mends an interruption in between."""
    aside = reading.previous(folder)
    if folder.exists():
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
    partial.rename(folder)
    _sync_folder(folder.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove what killed exports of the same package left behind."""
    for left in folder.parent.glob(f".{folder.name}.*{_PARTIAL}"):
        shutil.rmtree(left, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
