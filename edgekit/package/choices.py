"""Which variant runs best on one kind of machine, and how: small, since every load reads it.

What it rests on lies beside it, under the kind "tune". A choice comes with a package, and a package
may come from anywhere: what is read here names variants that are in the package as they were, and
whoever uses it still holds its options to the lists of what is allowed.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgekit.package import measured
from edgekit.package.reading import files_of
from edgekit.package.values import Choice, Package, Value

SCHEMA_VERSION = 1
MAX_BYTES = 1 << 20
"""A larger file is no choice: one of a dozen providers has some kilobytes."""
_WORDS = 200
_MACHINES = 64


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

    A winner whose files have changed or gone since doesn't, nor one that isn't of the first graph,
    which takes other inputs; nor does what another version wrote in another form. The fastest on
    another provider for which that is so is left out alone: it was no faster than the winner.
    """
    content = measured.load(folder, speed_key, kind="choice", max_bytes=MAX_BYTES)
    if content is None:
        return None
    try:
        chosen = msgspec.json.decode(content, type=Chosen)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if chosen.schema_version != SCHEMA_VERSION or chosen.speed_key != speed_key:
        return None
    if any(choice.session.provider != name for name, choice in chosen.by_provider.items()):
        return None
    holding = _as_it_was(chosen, package)
    return None if holding is None else _in_plain_words(holding)


def chosen_elsewhere(folder: Path, package: Package, *, here: str) -> list[Chosen]:
    """Read what was chosen on every kind of machine but the one whose speed key is `here`, as far
    as it still holds."""
    others = [key for key in machines(folder) if key != here][:_MACHINES]
    found = (chosen_on(folder, package, key) for key in others)
    return [chosen for chosen in found if chosen is not None]


def machines(folder: Path) -> list[str]:
    """List the speed keys of the machines that something was chosen for."""
    return measured.machines(folder, kind="choice")


def of_variants(chosen: Chosen, package: Package) -> Chosen | None:
    """Leave of a choice what is about variants that a package has; None where that is nothing.

    Where the winner isn't among them, another is the fastest only if it is the one that is left.
    """
    names = {variant.name for variant in package.variants}
    left = {name: one for name, one in chosen.by_provider.items() if one.variant in names}
    winner = chosen.winner
    if winner.variant not in names:
        if len(left) != 1:
            return None
        (winner,) = left.values()
    kept = msgspec.structs.replace(chosen, winner=winner, by_provider=left)
    hashes = _hashes(package, winner, *left.values())
    return None if hashes is None else msgspec.structs.replace(kept, files=hashes)


def _as_it_was(chosen: Chosen, package: Package) -> Chosen | None:
    """Leave of a choice what is about variants that haven't changed; None where the winner has."""

    def holds(choice: Choice) -> bool:
        hashes = _hashes(package, choice)
        return hashes is not None and hashes.items() <= chosen.files.items()

    left = {name: choice for name, choice in chosen.by_provider.items() if holds(choice)}
    if not holds(chosen.winner):
        return None
    hashes = _hashes(package, chosen.winner, *left.values()) or {}
    return msgspec.structs.replace(chosen, by_provider=left, files=hashes)


def _hashes(package: Package, *some: Choice) -> dict[str, str] | None:
    """Hash the files of all variants that choices name; None where one isn't there, or is of
    another graph than the one that `load` opens."""
    named = {choice.variant for choice in some}
    first = package.graphs[0].name
    known = [v for v in package.variants if v.graph == first and v.name in named]
    if len(known) < len(named):
        return None
    return {file: package.files[file].sha256 for variant in known for file in files_of(variant)}


def _in_plain_words(chosen: Chosen) -> Chosen:
    """Bring the texts of a choice into a form that any log and terminal can show."""
    replace = msgspec.structs.replace

    def plain(text: str) -> str:
        return "".join(c if c.isprintable() else "?" for c in text[:_WORDS])

    def told(choice: Choice) -> Choice:
        return replace(choice, reason=plain(choice.reason), speed_key=chosen.speed_key)

    return replace(
        chosen,
        machine=plain(chosen.machine),
        budget=plain(chosen.budget),
        winner=told(chosen.winner),
        by_provider={name: told(choice) for name, choice in chosen.by_provider.items()},
    )
