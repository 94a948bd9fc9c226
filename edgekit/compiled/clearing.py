"""Remove what is kept in the user's cache folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec

from edgekit import cache
from edgekit.compiled import cached, keys, scratch, trusted
from edgekit.compiled.cached import CacheKind, CompiledEntry


class Cleared(msgspec.Struct, frozen=True):
    """What went, and how many bytes in all; `left` says what did not, and why."""

    folder: str
    compiled: tuple[CompiledEntry, ...]
    kinds: tuple[CacheKind, ...]
    bytes: int
    left: tuple[str, ...] = ()


def clear(
    *,
    provider: str | None = None,
    older_than_days: float | None = None,
    package: Path | None = None,
    everything: bool = False,
) -> Cleared:
    """Remove compiled things that meet all of the given conditions.

    What another process is building or using just now stays, and so does everything that another
    user owns, and what is no part of edgekit's cache.

    Args:
        provider: only those that this provider built.
        older_than_days: only those that were built longer ago.
        package: only those of this package's variants, or of this .onnx file.
        everything: also all other kinds of things in the cache folder; takes no condition.

    Raises:
        NotFound, CorruptPackage: there is no such package.
    """
    models = None if package is None else cached.models_of(package).values()
    gone: list[CompiledEntry] = []
    left: list[str] = []
    freed = 0
    for entry in list(cached.entries()):
        if (
            (provider is None or entry.provider == provider)
            and (older_than_days is None or entry.age_s > older_than_days * 86_400)
            and (models is None or entry.model in models)
        ):
            if problem := _removed(Path(entry.folder)):
                left.append(f"{entry.folder}: {problem}")
            else:
                gone.append(entry)
                freed += entry.bytes
    for model in list(keys.models()):
        freed += scratch.sweep(model)
        _remove_if_empty(model)
    kinds: list[CacheKind] = []
    for kind in list(cached.kinds()) if everything else ():
        if problem := _removed(cache.folder() / kind.kind):
            left.append(f"{cache.folder() / kind.kind}: {problem}")
        else:
            kinds.append(kind)
            freed += kind.bytes
    return Cleared(str(cache.folder()), tuple(gone), tuple(kinds), freed, tuple(left))


def _removed(path: Path) -> str:
    """Remove a folder, or the link in its place; say why where that isn't possible or not right."""
    try:
        if not trusted.is_own(path.lstat()):
            return "it belongs to another user"
        if path.is_symlink() or not path.is_dir():
            path.unlink()
            return ""
        _refuse_foreign(path)
        shutil.rmtree(path)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _refuse_foreign(folder: Path) -> None:
    """Raise PermissionError where something in a folder belongs to somebody else."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if not trusted.is_own(Path(parent, name).lstat()):
                raise PermissionError(1, "something in it belongs to another user")


def _remove_if_empty(model: Path) -> None:
    """Remove a model's folder in which only locks are left that nobody holds, and its parent."""
    try:
        rest = list(model.iterdir())
        if any(entry.suffix != ".lock" for entry in rest):
            return
        for entry in rest:
            with scratch.locked(entry):
                entry.unlink()
        model.rmdir()
        model.parent.rmdir()
    except OSError:  # somebody holds one, or has just come back
        return
