"""The exporting user's own record of where an original came from, in the cache folder.

A package never says which file of whose machine to run; this record does, for its maker alone.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import msgspec

from edgekit import cache
from edgekit.errors import OriginalUnavailable
from edgekit.package.values import Package
from exporters.requests import TargetRequest

log = logging.getLogger("edgekit")


def remember(package: Package, request: TargetRequest) -> None:
    """Note which TARGET a package's weights came from. A cache that can't be written is no loss:
    `--original` says the same by hand.
    """
    if not cache.store(_path(package), msgspec.json.encode(request)):
        log.warning(
            "where the original came from was not remembered, because the cache folder %s can't "
            "be written; give it to bench with --original TARGET",
            cache.folder(),
        )


def recall(package: Package) -> TargetRequest:
    """Find the TARGET that a package's weights came from.

    Raises:
        OriginalUnavailable: it was exported elsewhere, by someone else, or from a live module.
    """
    try:
        return msgspec.json.decode(_path(package).read_bytes(), type=TargetRequest)
    except (OSError, msgspec.DecodeError):
        raise OriginalUnavailable(
            reason="where the original came from is not known here (the package was exported "
            "elsewhere, or from a live module); name it with --original TARGET"
        ) from None


def _path(package: Package) -> Path:
    """Name the record after the weights and what made them: modules without weights are many."""
    made = package.provenance
    key = (
        made.weights_sha256,
        made.source,
        made.parameters,
        made.seed,
        made.task,
        made.pretrained,
    )
    digest = hashlib.sha256(msgspec.json.encode(key, order="sorted")).hexdigest()
    return cache.folder() / "originals" / f"{digest[:32]}.json"
