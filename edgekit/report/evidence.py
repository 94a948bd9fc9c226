"""All that is known of a package on one kind of machine, read from where it is kept."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from edgekit import machine as machines
from edgekit.errors import BadValue, NothingMeasured, UnknownName
from edgekit.machine import Machine
from edgekit.measure.keeping import file_hashes, kept
from edgekit.measure.results import BenchReport
from edgekit.measure.slowness.values import Explained
from edgekit.package import measured, reading
from edgekit.package.values import Package
from edgekit.quantize.searching.keeping import kept_sensitivities
from edgekit.quantize.searching.ranking import Sensitivity
from edgekit.terms import Evidence
from edgekit.tune.results import Tuned

log = logging.getLogger("edgekit")

_SHOWN: tuple[Evidence, ...] = ("bench", "tune", "sensitivity", "explanation")

T = TypeVar("T")


class Known(msgspec.Struct, frozen=True):
    """What was measured of a package on one kind of machine, the newest bench last.

    `machine` is the machine as the evidence has it, None where only a sensitivity was measured.
    `elsewhere` are the speed keys of the other machines that something is known of.
    """

    package: Package
    speed_key: str
    machine: Machine | None
    benches: tuple[BenchReport, ...] = ()
    tuned: Tuned | None = None
    sensitivities: tuple[Sensitivity, ...] = ()
    explained: Explained | None = None
    elsewhere: tuple[str, ...] = ()

    @property
    def raced(self) -> Tuned | None:
        """What tuning found, where it came so far as to time a candidate."""
        tuned = self.tuned
        timed = tuned is not None and any(one.p50_ms is not None for one in tuned.tried)
        return tuned if timed else None

    @property
    def by_batch(self) -> tuple[BenchReport, ...]:
        """The benches, the smallest batch first, of one batch the newest."""
        newest_first = self.benches[::-1]
        return tuple(sorted(newest_first, key=lambda report: report.bench.batch))


def gather(path: Path, *, machine: str | None = None) -> Known:
    """Read what was measured of the package in a folder, as far as it is still about its files.

    Args:
        path: the package's folder.
        machine: the speed key of a kind of machine; this one unless given, or the only one that
            was measured.

    Raises:
        NotFound, CorruptPackage: the package can't be read.
        NothingMeasured: there is nothing to tell.
        UnknownName: nothing was measured on such a machine.
        BadValue: several were measured, this one isn't among them, and none was named.
    """
    found = {known.speed_key: known for known in gather_all(path)}
    if not found:
        raise NothingMeasured(path=str(path))
    if machine is not None and machine not in found:
        raise UnknownName(
            kind="machine",
            asked=machine,
            available=list(found),
            of="that this package was measured on",
        )
    here = machines.speed_key(machines.describe())
    if machine is None and here not in found and len(found) > 1:
        raise BadValue(
            what="--machine",
            asked="left out, since several other kinds of machine were measured and this one not",
            expected=f"one of {', '.join(found)}",
        )
    key = machine or (here if here in found else next(iter(found)))
    elsewhere = tuple(other for other in found if other != key)
    return msgspec.structs.replace(found[key], elsewhere=elsewhere)


def gather_all(path: Path) -> tuple[Known, ...]:
    """Read what was measured on each kind of machine, in the order of their keys; none where
    nothing was.

    Raises:
        NotFound, CorruptPackage: the package can't be read.
    """
    package = reading.read(path)
    keys = {key for kind in _SHOWN for key in measured.machines(path, kind=kind)}
    benches = kept(path, package)
    found = (_read(path, package, key, benches.get(key, [])) for key in sorted(keys))
    return tuple(known for known in found if _holds(known))


def _holds(known: Known) -> bool:
    return bool(known.benches or known.tuned or known.sensitivities or known.explained)


def _read(path: Path, package: Package, key: str, benches: Sequence[BenchReport]) -> Known:
    hashes = file_hashes(package, package.variants)
    tuned = _one(path, key, kind="tune", of=Tuned)
    if tuned is not None and not _current(tuned.files, hashes):
        tuned = None
    explained = _one(path, key, kind="explanation", of=Explained)
    if explained is not None and not _current(explained.files, hashes):
        explained = None
    machine = next(
        (one.machine for one in (tuned, explained) if one is not None),
        benches[-1].bench.machine if benches else None,
    )
    return Known(
        package,
        key,
        machine,
        benches=tuple(benches),
        tuned=tuned,
        sensitivities=kept_sensitivities(path, package, key),
        explained=explained,
    )


def _current(files: dict[str, str], hashes: dict[str, str]) -> bool:
    """Tell whether all files that something is about are still in the package. Some name a file
    with its package in front, and some without."""
    bare = {name.rpartition("/")[2]: digest for name, digest in hashes.items()}
    return {
        name.rpartition("/")[2]: digest for name, digest in files.items()
    }.items() <= bare.items()


def _one(path: Path, key: str, *, kind: Evidence, of: type[T]) -> T | None:
    content = measured.load(path, key, kind=kind)
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=of)
    except msgspec.DecodeError as error:
        log.debug("what is kept of %s as %s on %s can't be read: %s", path, kind, key, error)
        return None
