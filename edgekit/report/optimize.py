"""What `edgekit optimize` prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from edgekit.fixed_sizes import in_words
from edgekit.optimize.results import Optimized, Tried
from edgekit.report.documents import PassDocument
from edgekit.report.figures import MISSING, count, error, size, times
from edgekit.report.tables import Column, print_table, shown


def optimized(console: Console, path: str, done: Optimized) -> None:
    """Print a line a pass, and the variant that the kept ones made, if there is one."""
    print_table(
        console,
        [
            Column("pass", [shown(one.name) for one in done.tried], left=True),
            Column("nodes", [_nodes(one) for one in done.tried]),
            Column("max abs error", [_error(one) for one in done.tried]),
            Column("speedup [95 %]", [_speedup(one) for one in done.tried]),
            Column("", [_fate(one) for one in done.tried], left=True),
        ],
    )
    for one in done.tried:
        if one.fate in ("failed", "not equal"):
            console.print(f"  {shown(one.name)}: {shown(one.reason)}")
    if done.variant is None:
        console.print(
            f"Nothing was added to {shown(path)}: no pass pays here that leaves "
            f"{shown(done.parent)}'s numbers as they are."
        )
    else:
        gain = f" · {times(done.speedup)}" if done.speedup is not None else ""
        at = f" · takes {shown(in_words(done.sizes))} alone" if done.sizes else ""
        assert done.size_bytes is not None
        console.print(
            f"[bold]{shown(path)}[/]  {shown(done.variant.name)}, made from {shown(done.parent)} "
            f"by {shown(', '.join(done.variant.passes))} · {size(done.size_bytes)}{gain}{at}"
        )
    for note in done.notes:
        console.print(shown(note[:1].upper() + note[1:].rstrip(".") + "."))
    timed = f" at {in_words(done.timed_at)}" if done.timed_at else ""
    console.print(
        shown(f"Equal on {count(done.cases, 'reference case')}, timed{timed} on {done.machine}."),
        style="dim",
    )
    if done.variant is not None:
        console.print(f"Next: edgekit bench {shown(path)}")


def listed(console: Console, passes: Sequence[PassDocument]) -> None:
    """Print a line a pass: what it does, in the order in which they are tried."""
    print_table(
        console,
        [
            Column("pass", [shown(one.name) for one in passes], left=True),
            Column("what it does", [shown(one.summary) for one in passes], left=True),
        ],
    )


def _nodes(one: Tried) -> str:
    if one.fate in ("nothing to rewrite", "failed"):
        return MISSING
    return f"{one.nodes_before} → {one.nodes_after}"


def _error(one: Tried) -> str:
    return MISSING if one.max_abs_error is None else error(one.max_abs_error)


def _speedup(one: Tried) -> str:
    return MISSING if one.speedup is None else times(one.speedup)


def _fate(one: Tried) -> str:
    return f"[green]{one.fate}[/]" if one.fate == "kept" else one.fate
