"""What `edgekit cache` prints."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.console import Console

from edgekit.compiled.cached import CacheKind, CompiledEntry, Contents
from edgekit.compiled.clearing import Cleared
from edgekit.measure.warming import Warmed
from edgekit.report.figures import MISSING, count, digits, size
from edgekit.report.tables import Column, print_table, shown

SCHEMA_VERSION = 1


class CacheListDocument(msgspec.Struct, frozen=True):
    """`edgekit cache list --json`."""

    cache: Contents
    schema_version: int = SCHEMA_VERSION


class CacheClearDocument(msgspec.Struct, frozen=True):
    """`edgekit cache clear --json`."""

    cleared: Cleared
    schema_version: int = SCHEMA_VERSION


class CacheWarmDocument(msgspec.Struct, frozen=True):
    """`edgekit cache warm --json`."""

    warmed: Warmed
    schema_version: int = SCHEMA_VERSION


def listed(console: Console, contents: Contents) -> None:
    """Print what providers built, and what else lies in the cache folder."""
    console.print(f"[bold]{shown(contents.folder)}[/]", soft_wrap=True)
    if contents.compiled:
        console.print()
        _entries(console, contents.compiled)
    else:
        console.print("No provider has built anything that is kept here.")
    if contents.unfinished_bytes:
        console.print(
            f"{size(contents.unfinished_bytes)} more are being built or in use just now, or were "
            "left by processes that were killed: 'edgekit cache clear' tells them apart.",
            soft_wrap=True,
        )
    if contents.kinds:
        console.print()
        _kinds(console, contents.kinds)


def cleared(console: Console, gone: Cleared) -> None:
    """Print what was removed, and what was not."""
    if gone.compiled:
        _entries(console, gone.compiled, gone=True)
        console.print()
    if gone.kinds:
        _kinds(console, gone.kinds)
        console.print()
    for sentence in gone.left:
        console.print(f"[yellow]Left[/] {shown(sentence)}.", soft_wrap=True)
    if gone.bytes or gone.compiled or gone.kinds:
        console.print(f"Removed {size(gone.bytes)} from {shown(gone.folder)}.", soft_wrap=True)
    else:
        console.print(f"There was nothing to remove in {shown(gone.folder)}.", soft_wrap=True)


def warmed(console: Console, done: Warmed) -> None:
    """Print what is kept now, and what a start costs."""
    what = f"{shown(done.path)} · {shown(done.variant)} · {shown(done.provider)}"
    console.print(f"[bold]{what}[/]", soft_wrap=True)
    total = size(sum(entry.bytes for entry in done.compiled))
    if done.built:
        console.print(f"Built in {_duration(done.took_s)} and kept: {total}.")
    else:
        console.print(
            f"It was built already: {total}. Loading took {digits(done.load_ms)} ms, the first "
            f"call {digits(done.first_call_ms)} ms."
        )


def _entries(console: Console, entries: Sequence[CompiledEntry], *, gone: bool = False) -> None:
    columns = [
        Column("model", [shown(entry.label) or MISSING for entry in entries], left=True),
        Column("hash", [shown(entry.model) for entry in entries], left=True),
        Column("provider", [shown(entry.provider) for entry in entries], left=True),
        Column("GPU", [shown(" + ".join(entry.gpus)) or MISSING for entry in entries], left=True),
        Column("size", [size(entry.bytes) for entry in entries]),
        Column("built in", [_duration(entry.build_s) for entry in entries]),
        Column("age", [_duration(entry.age_s) for entry in entries]),
    ]
    if not gone:
        columns.append(Column("", [_state(entry) for entry in entries], left=True))
    print_table(console, columns)


def _state(entry: CompiledEntry) -> str:
    if entry.valid:
        return "[green]used here[/]"
    return f"[yellow]not used here[/]: {shown(entry.problem)}"


def _kinds(console: Console, kinds: Sequence[CacheKind]) -> None:
    print_table(
        console,
        [
            Column("folder", [shown(kind.kind) for kind in kinds], left=True),
            Column("files", [count(kind.files, "file") for kind in kinds]),
            Column("size", [size(kind.bytes) for kind in kinds]),
            Column("what it is", [shown(kind.says) for kind in kinds], left=True),
        ],
    )


def _duration(seconds: float | None) -> str:
    """Write seconds in the largest unit of which there are two at least: 90 s, 5 min, 3 days."""
    if seconds is None:
        return MISSING
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else "<1 s"
