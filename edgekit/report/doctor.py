"""What `edgekit doctor` prints."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from edgekit.doctor import Report
from edgekit.doctor.report import Finding, Severity
from edgekit.report.tables import shown

_MARKS: dict[Severity, str] = {
    "ok": "[green]ok[/]",
    "note": "[yellow]note[/]",
    "problem": "[red]problem[/]",
}


def examined(console: Console, report: Report) -> None:
    """Print everything that was found, what to do under each, and the verdict."""
    console.print(f"[bold]{shown(report.summary)}[/]")
    _findings(console, "Python", report.python)
    packages = [
        Finding(
            f"{p.distribution} {p.version or ''}".strip(),
            p.severity,
            p.says,
            p.mend if p.severity == "problem" else "",
        )
        for p in report.packages
        if p.version is not None or p.severity == "problem"
    ]
    _findings(console, "Packages", packages)
    missing = [f"{p.distribution} [{p.extra}]" for p in report.packages if p.version is None]
    if missing:
        console.print(
            f"  [dim]not installed, with the extra that brings each: {shown(', '.join(missing))}[/]"
        )
    _findings(console, "Conflicts", report.conflicts)
    providers = [
        Finding(
            f"{p.name} ({p.ort_name})",
            p.severity,
            p.diagnosis.cause or f"Usable: {p.diagnosis.found}",
            p.diagnosis.mend,
        )
        for p in report.providers
    ]
    _findings(console, "Execution providers", providers)
    _findings(console, "Processor", report.features)
    _findings(console, "Limits", report.limits)
    if report.usable:
        console.print("\n[green]Models can run here.[/]")
    else:
        console.print("\n[red]Models can't run here yet[/]: see what is marked problem above.")


def _findings(console: Console, title: str, findings: Iterable[Finding]) -> None:
    rows = list(findings)
    if not rows:
        return
    console.print(f"\n[bold]{title}[/]")
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for row in rows:
        table.add_row(_MARKS[row.severity], shown(row.subject), shown(row.says))
        if row.mend:
            table.add_row("", "", f"→ {shown(row.mend)}")
    console.print(table)
