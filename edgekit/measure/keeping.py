"""Keep what was measured beside a package, one bench for each set of conditions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgekit import machine as machines
from edgekit.measure.results import SCHEMA_VERSION, BenchReport
from edgekit.package import measured
from edgekit.package.reading import files_of
from edgekit.package.values import Package, Variant

log = logging.getLogger("edgekit")


class Kept(msgspec.Struct, frozen=True):
    """What `measured/bench/<machine>.json` holds: the last bench under each set of conditions."""

    schema_version: int
    reports: list[BenchReport]


def keep(folder: Path, report: BenchReport) -> Path | None:
    """Keep a bench of the package in `folder`, in the place of one under the same conditions.

    Returns where, or None where it could not be kept: that spoils no measurement.
    """
    key = machines.speed_key(report.bench.machine)
    before = [kept for kept in _read(folder, key) if _conditions(kept) != _conditions(report)]
    content = msgspec.json.encode(Kept(SCHEMA_VERSION, [*before, report]))
    return measured.store(folder, key, content, kind="bench")


def kept(folder: Path, package: Package) -> dict[str, list[BenchReport]]:
    """Read what was measured of the variants that are in the package now, by kind of machine.

    A bench of a variant whose file has changed since is left out, and so is what another version
    wrote in another form.
    """
    hashes = file_hashes(package, package.variants)
    found = {key: _read(folder, key) for key in measured.machines(folder, kind="bench")}
    return {
        key: current
        for key, reports in found.items()
        if (current := [r for r in reports if r.bench.files.items() <= hashes.items()])
    }


def file_hashes(package: Package, variants: Sequence[Variant]) -> dict[str, str]:
    """Return the SHA-256 of every file that variants are made of, external data included."""
    return {
        f"{package.name}/{name}": package.files[name].sha256
        for variant in variants
        for name in files_of(variant)
    }


def _read(folder: Path, key: str) -> list[BenchReport]:
    content = measured.load(folder, key, kind="bench")
    if content is None:
        return []
    try:
        kept = msgspec.json.decode(content, type=Kept)
    except msgspec.DecodeError as error:
        log.debug("what was measured of %s on %s can't be read: %s", folder, key, error)
        return []
    return kept.reports if kept.schema_version == SCHEMA_VERSION else []


def _conditions(report: BenchReport) -> Any:
    """What makes two benches of one package comparable: sizes, threads, where arrays lie, the
    provider's options, and how each one ran."""
    bench = report.bench
    ran = [(m.label, m.facts.idle) for m in bench.measurements]
    return bench.sizes, bench.threads, bench.arrays, bench.provider_options, ran
