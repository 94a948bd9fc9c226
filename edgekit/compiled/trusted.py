"""Reads and writes what is kept of a provider's work, and uses nothing that others could change.

Files are used only where every folder from `compiled` on and every file belongs to this user, can
be written by nobody else and is no link (POSIX), and only as copies that had the right hash while
they were copied. What is asked about is each file as it stands open: whatever becomes of the names
of folders meanwhile, every byte that is copied out was written by this user. The cache folder
itself is where the user put it: who may rename what lies in that one has to be trusted.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import msgspec

from edgekit.compiled.keys import (
    FILES,
    KEY_FILE,
    SCHEMA_VERSION,
    CompileKey,
    Record,
    differences,
)
from edgekit.package.values import FileRecord

_MAX_KEY_BYTES = 4 << 20
_CHUNK = 4 << 20
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_BINARY = getattr(os, "O_BINARY", 0)


class Unfit(Exception):
    """What is kept can't be used; the text is half a sentence that says why.

    `others` says that it, or a folder around it, isn't this user's to replace.
    """

    def __init__(self, reason: str, *, others: bool = False) -> None:
        super().__init__(reason)
        self.others = others


def refuse_parents(place: Path) -> None:
    """Hold every folder around a place, from `compiled` on, to belong to this user alone.

    Raises:
        Unfit: one doesn't. Folders that don't exist are no reason.
    """
    for folder in (place.parents[2], place.parents[1], place.parents[0]):
        try:
            status = folder.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise Unfit(f"{folder} cannot be looked at ({error.strerror})", others=True) from error
        if problem := _problem(status, stat.S_ISDIR):
            raise Unfit(f"{folder} {problem}", others=True)


def read(place: Path) -> Record | None:
    """Read what is known of a kept folder; None where there is none.

    Raises:
        Unfit: there is one that can't be used.
    """
    try:
        status = place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Unfit(f"{place} cannot be looked at ({error.strerror})") from error
    if problem := _problem(status, stat.S_ISDIR):
        raise Unfit(f"{place} {problem}", others=_is_others(status))
    with _open_own(place / KEY_FILE) as file:
        raw = file.read(_MAX_KEY_BYTES + 1)
    try:
        record = msgspec.json.decode(raw, type=Record, strict=True)
    except msgspec.MsgspecError as error:
        raise Unfit(f"its {KEY_FILE} cannot be read ({error})") from error
    if record.schema_version != SCHEMA_VERSION:
        raise Unfit(f"its {KEY_FILE} is of version {record.schema_version}, not {SCHEMA_VERSION}")
    for name in record.files:
        if name != PurePosixPath(name).as_posix() or {"", ".", "..", "/"} & set(_parts(name)):
            raise Unfit(f"its {KEY_FILE} lists a file {name!r}")
    return record


def copy_out(place: Path, key: CompileKey, folder: Path) -> Record | None:
    """Copy what is kept for a key into an empty folder, hashed on the way; None if nothing is kept.

    Raises:
        Unfit: something is kept and can't be used; `folder` may then hold a part of it.
        OSError: `folder` can't be written.
    """
    record = read(place)
    if record is None:
        return None
    if differing := differences(record.key, key):
        raise Unfit(f"it was built for another key ({'; '.join(differing)})")
    for name, expected in record.files.items():
        target = folder / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _open_own(place / FILES / name) as source, target.open("xb") as copy:
            found = _copy(source, copy, limit=expected.size)
        if found != expected:
            raise Unfit(f"{name} is not the file that was kept")
    return record


def listed(folder: Path) -> dict[str, Path]:
    """List the plain files of a folder by their name below it.

    Raises:
        Unfit: there is something else in it, such as a link.
    """
    found: dict[str, Path] = {}
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted([*files, *folders]):
            path = Path(parent, name)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                found[path.relative_to(folder).as_posix()] = path
            elif not stat.S_ISDIR(mode):
                raise Unfit(f"{path.relative_to(folder)} is not a plain file")
    return found


def records(files: Mapping[str, Path]) -> dict[str, FileRecord]:
    """Hash files as they are now."""
    found: dict[str, FileRecord] = {}
    for name, path in files.items():
        with path.open("rb") as file:
            found[name] = FileRecord(hashlib.file_digest(file, "sha256").hexdigest(), _size(file))
    return found


def put(
    files: Mapping[str, Path],
    place: Path,
    *,
    key: CompileKey,
    build_s: float,
    label: str,
    scratch: Path,
) -> Record:
    """Keep copies of files for a key, in one step, in place of what was kept for it.

    `scratch` is a folder on the same file system that the caller removes afterwards. Nothing of
    it is in place before all of it is on the disk.

    Raises:
        OSError: the cache can't be written.
    """
    new = scratch / f"new-{time.monotonic_ns()}"
    (new / FILES).mkdir(mode=0o700, parents=True)
    new.chmod(0o700)
    records: dict[str, FileRecord] = {}
    for name, source in files.items():
        target = new / FILES / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with source.open("rb") as original, _new_file(target) as copy:
            records[name] = _copy(original, copy)
            copy.flush()
            os.fsync(copy.fileno())
    record = Record(key, records, round(build_s, 3), label)
    with _new_file(new / KEY_FILE) as file:
        file.write(msgspec.json.format(msgspec.json.encode(record), indent=1))
        file.flush()
        os.fsync(file.fileno())
    for folder in {target.parent for target in (new / FILES).rglob("*")} | {new / FILES, new}:
        _sync_folder(folder)
    old = scratch / f"old-{time.monotonic_ns()}"
    if os.path.lexists(place):
        place.replace(old)
    new.replace(place)
    _sync_folder(place.parent)
    if old.is_symlink() or old.is_file():
        old.unlink()
    else:
        shutil.rmtree(old, ignore_errors=True)
    return record


def is_own(status: os.stat_result) -> bool:
    """Tell whether a file or folder belongs to this user; always where there are no owners."""
    return not _is_others(status)


def _is_others(status: os.stat_result) -> bool:
    return hasattr(os, "geteuid") and status.st_uid != os.geteuid()


def _problem(status: os.stat_result, is_right: Callable[[int], bool]) -> str:
    """Say in half a sentence why something must not be trusted; empty where it may."""
    if stat.S_ISLNK(status.st_mode):
        return "is a link"
    if not is_right(status.st_mode):
        return "is something else than it should be"
    if _is_others(status):
        return f"belongs to another user (number {status.st_uid})"
    if os.name == "posix" and status.st_mode & _OTHERS_MAY_WRITE:
        return f"can be written by other users (mode {stat.S_IMODE(status.st_mode):o})"
    return ""


def _open_own(path: Path) -> BinaryIO:
    """Open a plain file of this user's; what is asked about is the file that stands open."""
    # O_NONBLOCK: opening a named pipe must fail the check for a plain file, not wait for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise Unfit(f"{path.name} cannot be opened ({error.strerror})") from error
    if problem := _problem(os.fstat(descriptor), stat.S_ISREG):
        os.close(descriptor)
        raise Unfit(f"{path.name} {problem}")
    return os.fdopen(descriptor, "rb")


def _new_file(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600), "wb")


def _copy(source: BinaryIO, target: BinaryIO, *, limit: int | None = None) -> FileRecord:
    """Copy a file and hash it on the way. What is larger than `limit` is copied no further."""
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        target.write(chunk)
        size += len(chunk)
        if limit is not None and size > limit:
            break
    return FileRecord(digest.hexdigest(), size)


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _parts(name: str) -> list[str]:
    return name.replace("\\", "/").split("/")
