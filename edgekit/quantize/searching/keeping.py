"""Keep what sensitivity found beside a package: the last for each variant, scheme and grain."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from edgekit import machine as machines
from edgekit.package import measured
from edgekit.package.values import Package
from edgekit.quantize.searching.ranking import Sensitivity

log = logging.getLogger("edgekit")

SCHEMA_VERSION = 1


class Found(msgspec.Struct, frozen=True):
    """A ranking, and the SHA-256 of the .onnx file that it is about."""

    sha256: str
    sensitivity: Sensitivity


class KeptSensitivities(msgspec.Struct, frozen=True):
    """What `measured/sensitivity/<machine>.json` holds."""

    schema_version: int
    found: tuple[Found, ...]


def keep_sensitivity(folder: Path, package: Package, found: Sensitivity) -> Path | None:
    """Keep a ranking of the package in `folder`, in the place of one of the same kind.

    Returns where, or None where it could not be kept: that spoils no measurement.
    """
    key = machines.speed_key(machines.describe())
    sha256 = _hashes(package)[found.variant]
    before = (one for one in _read(folder, key) if _kind(one.sensitivity) != _kind(found))
    content = msgspec.json.encode(
        KeptSensitivities(SCHEMA_VERSION, (*before, Found(sha256, found)))
    )
    return measured.store(folder, key, content, kind="sensitivity")


def kept_sensitivities(folder: Path, package: Package, speed_key: str) -> tuple[Sensitivity, ...]:
    """Read what was found on a kind of machine of variants that are in the package now.

    One of a variant whose file has changed since is left out, and so is what another version wrote
    in another form.
    """
    hashes = _hashes(package)
    return tuple(
        one.sensitivity
        for one in _read(folder, speed_key)
        if hashes.get(one.sensitivity.variant) == one.sha256
    )


def _hashes(package: Package) -> dict[str, str]:
    return {variant.name: package.files[variant.model].sha256 for variant in package.variants}


def _read(folder: Path, key: str) -> tuple[Found, ...]:
    content = measured.load(folder, key, kind="sensitivity")
    if content is None:
        return ()
    try:
        kept = msgspec.json.decode(content, type=KeptSensitivities)
    except msgspec.DecodeError as error:
        log.debug("what sensitivity found of %s on %s can't be read: %s", folder, key, error)
        return ()
    return kept.found if kept.schema_version == SCHEMA_VERSION else ()


def _kind(found: Sensitivity) -> tuple[str, str, str]:
    return found.variant, found.scheme, found.by
