"""What this machine can do at most: measured once on a kind of machine, and kept.

A peak is a maximum. Whatever disturbs a measurement makes it lower, so a later and higher one
replaces a kept one, rate by rate, and a lower one doesn't.
"""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path

import msgspec

from edgekit import cache
from edgekit import machine as machines
from edgekit.measure.roofline.probing import measured
from edgekit.measure.roofline.rates import MachinePeaks, higher_of
from edgekit.measure.surroundings import busy
from edgekit.measure.ways import How

log = logging.getLogger("edgekit")

SCHEMA_VERSION = 2
"""That of a file in the cache; 1 was of products of one size alone."""


class _Kept(msgspec.Struct, frozen=True):
    peaks: MachinePeaks
    schema_version: int = SCHEMA_VERSION


def peaks_of(how: How, *, fresh: bool = False, wall_s: float = 600.0) -> MachinePeaks:
    """Measure what a provider reaches here at most, or take what was measured before.

    They are kept in the user's cache, by the machine's speed key, the provider, its options and the
    threads: they don't change from run to run. What was measured while others kept the machine busy
    is measured again when they don't, and the best of both counts.

    Args:
        how: how variants run, its provider chosen.
        fresh: measure again, and forget what is kept.
        wall_s: how long one of the models may take.

    Raises:
        WorkerError, ProviderUnavailable: nothing can be run there.
        MissingExtra: `onnx` is not installed.
    """
    kept = None if fresh else _kept(_place(how))
    if kept is not None and not (kept.disturbed and not busy()):
        return kept
    log.info("measuring what this machine can do at most")
    found = measured(how, disturbed=bool(busy()), wall_s=wall_s)
    if kept is not None:
        found = higher_of(found, kept)
    keep_peaks(how, found)
    return found


def peaks_again(how: How, known: MachinePeaks, *, wall_s: float = 600.0) -> MachinePeaks:
    """Measure once more what was shown to be too low, and keep the higher of both, rate by rate.

    Args:
        how: how variants run.
        known: the peaks that something was faster than.
        wall_s: how long one of the models may take.

    Raises:
        WorkerError, ProviderUnavailable: nothing can be run there.
    """
    log.info("something ran faster than the peaks that are kept: measuring them again")
    found = higher_of(measured(how, disturbed=bool(busy()), wall_s=wall_s), known)
    keep_peaks(how, found)
    return found


def keep_peaks(how: How, peaks: MachinePeaks) -> None:
    """Keep what was measured of a provider on this kind of machine, for `peaks_of` to find."""
    cache.store(_place(how), msgspec.json.encode(_Kept(peaks)))


def _place(how: How) -> Path:
    key = machines.speed_key(machines.describe())
    threads = how.session.threads or machines.threads_available()
    told = msgspec.json.encode((how.session, threads, how.library, how.arrays))
    digest = hashlib.sha256(told).hexdigest()[:8]
    provider = re.sub(r"[^a-z0-9-]+", "-", how.session.provider.lower())
    return cache.folder() / "peaks" / key / f"{provider}-{threads}-{digest}.json"


def _kept(place: Path) -> MachinePeaks | None:
    try:
        found = msgspec.json.decode(place.read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError):
        return None
    return found.peaks if found.schema_version == SCHEMA_VERSION else None
