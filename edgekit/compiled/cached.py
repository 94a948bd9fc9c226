"""What is in the user's cache folder."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from edgekit import cache
from edgekit.compiled import keys, scratch, trusted
from edgekit.compiled.keys import Surroundings
from edgekit.compiled.trusted import Unfit
from edgekit.errors import NotFound
from edgekit.installed import distributions
from edgekit.package import reading

KINDS = {
    "digits": "data of the reference models, unpacked",
    "measured": "what was measured of packages that cannot be written",
    "originals": "where the originals of exported packages are to be found",
    "peaks": "what this machine can do at the most, as it was measured",
    "reports": "full texts behind short errors",
    "weights": "reference models as they were trained here",
}
"""What lies in the cache folder beside `compiled`, by the folder's name."""

OTHER = "other"


class CompiledEntry(msgspec.Struct, frozen=True):
    """Something that a provider built and that is kept.

    `model` are the first 16 hex digits of its hash, `label` says what it is where that is known.
    `gpus`, `driver` and `onnxruntime` are those that it was built with. `age_s` is the time since.
    `valid` says whether a model opened here and now with the same options would use it, as far as
    can be told without hashing its files; if not, `problem` says why.
    """

    folder: str
    provider: str
    model: str
    label: str
    gpus: tuple[str, ...]
    driver: str
    onnxruntime: str
    files: int
    bytes: int
    age_s: float
    build_s: float | None
    valid: bool
    problem: str = ""


class CacheKind(msgspec.Struct, frozen=True):
    """One of the other things in the cache folder."""

    kind: str
    says: str
    files: int
    bytes: int


class Contents(msgspec.Struct, frozen=True):
    """All that is in the cache folder. `unfinished_bytes` are of what is being built or in use."""

    folder: str
    compiled: tuple[CompiledEntry, ...]
    unfinished_bytes: int
    kinds: tuple[CacheKind, ...]


def contents() -> Contents:
    """List what is in the cache folder; nothing of it is opened but the keys of compiled things."""
    top = cache.folder()
    busy = sum(
        _size(folder)[1] for model in keys.models() for folder in model.glob(f".*{scratch.SUFFIX}")
    )
    return Contents(str(top), tuple(entries()), busy, (*kinds(), *_others(top)))


def entries() -> Iterator[CompiledEntry]:
    """Look at every compiled thing that is kept, fit to be used or not."""
    here: Surroundings | None = None
    for place in keys.places():
        # Only where there is anything: the driver may take a second to answer.
        here = here or keys.surroundings(())
        yield _entry(place, here)


def models_of(path: Path) -> dict[str, str]:
    """Give the hashes, shortened as in folders' names, of a package's variants or an .onnx file.

    None of a file that keeps its weights beside it: see `keys.plain_sha256`.

    Raises:
        NotFound, CorruptPackage: there is no such package.
    """
    if path.suffix.lower() == ".onnx" and not path.is_dir():
        if not path.is_file():
            raise NotFound(path=str(path))
        sha256 = keys.plain_sha256(path)
        return {} if sha256 is None else {path.stem: sha256[:16]}
    package = reading.read(path)
    return {
        variant.name: keys.model_sha256(
            {name: package.files[name].sha256 for name in reading.files_of(variant)}
        )[:16]
        for variant in package.variants
    }


def _entry(place: Path, here: Surroundings) -> CompiledEntry:
    problem, record = "", None
    try:
        trusted.refuse_parents(place)
        record = trusted.read(place)
        problem = "" if record is None else _unlike(place, record, here)
    except Unfit as error:
        problem = str(error)
    files, size = _size(place)
    where = None if record is None else record.key.where
    return CompiledEntry(
        folder=str(place),
        provider=place.parents[1].name if record is None else record.key.provider,
        model=place.parent.name,
        label="" if record is None else record.label,
        gpus=() if where is None else where.gpus,
        driver="" if where is None else where.driver,
        onnxruntime="" if where is None else where.onnxruntime,
        files=files if record is None else len(record.files),
        bytes=size,
        age_s=_age_s(place),
        build_s=None if record is None else record.build_s,
        valid=record is not None and not problem,
        problem=problem,
    )


def _unlike(place: Path, record: keys.Record, here: Surroundings) -> str:
    """Say why something isn't used here and now; empty where it is, as far as sizes tell."""
    if place != keys.place_of(record.key):
        return "it lies in another key's place"
    for name, file in record.files.items():
        try:
            if (place / keys.FILES / name).lstat().st_size != file.size:
                return f"{name} is not the file that was kept"
        except OSError as error:
            return f"{name} cannot be looked at ({error.strerror})"
    where = record.key.where
    here = msgspec.structs.replace(
        here,
        libraries=distributions(where.libraries),
        files=keys.file_versions(where.files),
    )
    asked = msgspec.structs.replace(record.key, where=here)
    return "; ".join(keys.differences(record.key, asked))


def kinds() -> Iterator[CacheKind]:
    """Count the other things of edgekit's in the cache folder, a kind each."""
    for name, says in KINDS.items():
        folder = cache.folder() / name
        if not folder.is_symlink() and folder.is_dir():
            files, size = _size(folder)
            yield CacheKind(name, says, files, size)


def _others(top: Path) -> Iterator[CacheKind]:
    """Count what edgekit did not put there."""
    files = size = 0
    for path in top.iterdir() if top.is_dir() else ():
        if path.name not in (*KINDS, keys.FOLDER):
            counted = _size(path) if path.is_dir() and not path.is_symlink() else (1, _bytes(path))
            files, size = files + counted[0], size + counted[1]
    if files:
        yield CacheKind(OTHER, "not edgekit's, and never cleared", files, size)


def _bytes(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # it went just now
        return 0


def _size(folder: Path) -> tuple[int, int]:
    """Count the plain files below a folder and their bytes; links are not followed."""
    files = size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                status = Path(parent, name).lstat()
            except OSError:  # it went just now
                continue
            if stat.S_ISREG(status.st_mode):
                files, size = files + 1, size + status.st_size
    return files, size


def _age_s(place: Path) -> float:
    for path in (place / keys.KEY_FILE, place):
        try:
            return max(0.0, time.time() - path.lstat().st_mtime)
        except OSError:
            continue
    return 0.0
