"""What an earlier search on this machine found that still holds."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from edgekit.measure.keeping import file_hashes
from edgekit.package import measured, reading
from edgekit.package.values import Package
from edgekit.tune.results import SCHEMA_VERSION, Tried, Tuned
from edgekit.tune.setting import Setting

log = logging.getLogger("edgekit")


def store(folder: Path, tuned: Tuned) -> Path | None:
    """Keep what was found so far beside the package; return where, None where it can't be kept."""
    return measured.store(folder, tuned.speed_key, msgspec.json.encode(tuned), kind="tune")


def load(folder: Path, speed_key: str) -> Tuned | None:
    """Read what was found last on a kind of machine, whatever has changed since."""
    content = measured.load(folder, speed_key, kind="tune")
    if content is None:
        return None
    try:
        tuned = msgspec.json.decode(content, type=Tuned)
    except msgspec.DecodeError as error:
        log.debug("what was tuned of %s on %s can't be read: %s", folder, speed_key, error)
        return None
    return tuned if tuned.schema_version == SCHEMA_VERSION else None


def earlier(setting: Setting) -> Tuned | None:
    """Read the last search on this machine, if it asked the same of the same model: the same float
    variant, cases, budgets, sizes and versions."""
    found = load(setting.path, setting.speed_key)
    if found is None:
        return None
    now = file_hashes(setting.package, [setting.parent])
    same = (
        now.items() <= found.files.items()
        and found.data_sha256 == setting.evaluation.sha256
        and found.budgets == setting.data.budgets
        and found.undecided == setting.data.undecided
        and found.sizes == setting.track.sizes
        and found.batch == setting.track.batch
        and found.baseline == setting.track.baseline.label
        and found.machine.versions == setting.track.machine.versions
    )
    return found if same else None


def nothing_new(found: Tuned, setting: Setting) -> bool:
    """Tell whether a search would find what an earlier one did: it came to its end, on the very
    variants that the package has now and the providers that can be used."""
    return (
        found.finished
        and found.files == file_hashes(setting.package, setting.subject.variants)
        and {p.name for p in setting.usable} <= {t.session.provider for t in found.tried}
    )


def holding(found: Tuned | None, package: Package) -> dict[str, Tried]:
    """List the candidates of an earlier search that ran, whose variants are still the same."""
    if found is None:
        return {}
    names = {variant.name: variant for variant in package.variants}
    return {
        tried.label: msgspec.structs.replace(tried, reused=True)
        for tried in found.tried
        if tried.variant in names
        and tried.stage > 0
        and file_hashes(package, [names[tried.variant]]).items() <= found.files.items()
    }


def done_with(found: Tuned | None, package: Package) -> dict[str, list[Tried]]:
    """List the variants that need not be made once more, each with its rows.

    Those are the ones that an earlier search couldn't make, or found too inaccurate, and those that
    it made, raced and took out again because something else is better, as long as that is there.
    """
    if found is None:
        return {}
    names = {variant.name: variant for variant in package.variants}
    winner = names.get(found.winner.variant)
    won = winner is not None and file_hashes(package, [winner]).items() <= found.files.items()
    out = ("over budget", "undecided", "failed", "slower")
    over: dict[str, list[Tried]] = {}
    for tried in found.tried:
        refused = tried.outcome in out and tried.stage == 0
        taken_out = won and tried.stage > 0 and tried.variant in found.made
        if tried.variant not in names and (refused or taken_out):
            row = msgspec.structs.replace(tried, reused=True)
            over.setdefault(tried.variant, []).append(row)
    return over


def made_before(found: Tuned | None, setting: Setting) -> tuple[str, ...]:
    """Name the variants that earlier searches added: `found`, which this one goes on with, else one
    that didn't come to its end and would leave them behind for good."""
    last = found or load(setting.path, setting.speed_key)
    if last is None or (found is None and last.finished):
        return ()
    there = {variant.name: variant for variant in setting.package.variants}
    return tuple(
        name
        for name in last.made
        if name not in there
        or file_hashes(setting.package, [there[name]]).items() <= last.files.items()
    )


def size_bytes(package: Package, variant: str) -> int:
    """Add up the files of a variant."""
    files = reading.files_of(reading.variant_named(package, variant))
    return sum(package.files[name].size for name in files)
