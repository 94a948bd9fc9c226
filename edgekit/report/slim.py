"""What `edgekit slim` prints."""

from __future__ import annotations

from rich.console import Console

from edgekit.package.slimmed import Slimmed
from edgekit.report.figures import size
from edgekit.report.tables import Column, print_table, shown


def slimmed(console: Console, path: str, done: Slimmed) -> None:
    """Print what was kept of a package, and how much smaller it is."""
    console.print(
        f"[bold]{shown(path)}[/]  {shown(done.name)} · {shown(', '.join(done.variants))} · "
        f"{size(done.before_bytes)} → {size(done.after_bytes)}"
    )
    parts = done.parts
    print_table(
        console,
        [
            Column("", [shown(part.what) for part in parts], left=True),
            Column("before", [size(part.before_bytes) for part in parts]),
            Column("after", [size(part.after_bytes) for part in parts]),
        ],
    )
    if done.left_out:
        console.print(f"Left out: {shown(', '.join(done.left_out))}")
    if done.machines:
        console.print(f"Goes along: what was chosen on {shown(', '.join(done.machines))}")
    for note in done.notes:
        console.print(f"Note: {shown(note)}")
