"""Which variant runs best on one kind of machine, and how: small, since every load reads it.

What it rests on lies beside it, under the kind "tune".
"""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from edgekit.package import measured
from edgekit.package.reading import files_of
from edgekit.package.values import Choice, Package, Value

log = logging.getLogger("edgekit")

SCHEMA_VERSION = 1


class Chosen(Value, frozen=True):
    """What tuning chose on one kind of machine.

    `winner` is the fastest of all that keep the budget, `by_provider` the fastest on each provider,
    by its name. `files` holds the SHA-256 of every file of the variants that they name. `machine`
    is the machine's kind in words, `budget` what every one of them had to keep, in words.
    """

    schema_version: int
    speed_key: str
    machine: str
    winner: Choice
    by_provider: dict[str, Choice]
    files: dict[str, str]
    budget: str = ""


def store(folder: Path, chosen: Chosen) -> Path | None:
    """Keep a choice beside a package; return where, or None where it could not be kept."""
    content = msgspec.json.encode(chosen)
    return measured.store(folder, chosen.speed_key, content, kind="choice")


def chosen_on(folder: Path, package: Package, speed_key: str) -> Chosen | None:
    """Read what was chosen on a kind of machine; None where nothing was that still holds.

    A choice of a variant whose files have changed or gone since doesn't, nor does what another
    version wrote in another form.
    """
    content = measured.load(folder, speed_key, kind="choice")
    if content is None:
        return None
    try:
        chosen = msgspec.json.decode(content, type=Chosen)
    except msgspec.DecodeError as error:
        log.debug("what was chosen for %s on %s can't be read: %s", folder, speed_key, error)
        return None
    if chosen.schema_version != SCHEMA_VERSION or chosen.speed_key != speed_key:
        return None
    named = {choice.variant for choice in (chosen.winner, *chosen.by_provider.values())}
    hashes = {
        file: package.files[file].sha256
        for variant in package.variants
        if variant.name in named
        for file in files_of(variant)
    }
    known = named <= {variant.name for variant in package.variants}
    return chosen if known and hashes == chosen.files else None


def machines(folder: Path) -> list[str]:
    """List the speed keys of the machines that something was chosen for."""
    return measured.machines(folder, kind="choice")
