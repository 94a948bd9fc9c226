"""What `edgekit doctor` prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from edgekit.doctor import Report
from edgekit.doctor.report import Finding, PackageFinding, ProviderFinding, Severity
from edgekit.report.tables import shown

_MARKS: dict[Severity, str] = {
    "ok": "[green]ok[/]",
    "note": "[yellow]note[/]",
    "problem": "[red]problem[/]",
}


def examined(console: Console, report: Report) -> None:
    """Print everything that was found, what to do under each, and the verdict."""
    if report.provider:
        _one_provider(console, report)
        return
    console.print(f"[bold]{shown(report.summary)}[/]")
    _findings(console, "Python", report.python)
    _packages(console, report.packages)
    _findings(console, "Conflicts", report.conflicts)
    _findings(console, "Execution providers", _grouped(report.providers))
    others = ", ".join(row.name for row in report.providers if _is_elsewhere(row))
    if others:
        console.print(
            f"  [dim]not here, and in no extra of edgekit's: {shown(others)}; what one needs says "
            "edgekit doctor --provider NAME[/]"
        )
    _findings(console, "NVIDIA", report.nvidia)
    _findings(console, "Processor", report.features)
    _findings(console, "Limits", report.limits)
    if report.usable:
        console.print("\n[green]Models can run here.[/]")
    else:
        console.print("\n[red]Models can't run here yet[/]: see what is marked problem above.")


def _one_provider(console: Console, report: Report) -> None:
    (row,) = report.providers
    diagnosis = row.diagnosis
    console.print(f"[bold]{shown(row.name)}[/] ({shown(row.ort_name)})")
    found = [Finding("found", "ok", diagnosis.found)] if diagnosis.found else []
    if not diagnosis.usable:
        found = [
            Finding("cause", "problem", f"{diagnosis.cause}.", diagnosis.mend),
            *(Finding("also", "problem", f"{said}.") for said in diagnosis.also),
            Finding("needed", "note", diagnosis.needed),
            Finding("found", "note", diagnosis.found or "nothing"),
        ]
    _findings(console, "Provider", found)
    _packages(console, report.packages)
    _findings(console, "Conflicts", report.conflicts)
    _findings(console, "NVIDIA", report.nvidia)
    tried = "" if row.tried else " edgekit itself has run no model on it yet."
    if diagnosis.usable:
        console.print(f"\n[green]{shown(row.name)} can be used here.[/]{tried}")
    else:
        says = f"[red]{shown(row.name)} can't be used here[/]: see the cause above."
        console.print(f"\n{says}{tried}")


def _packages(console: Console, packages: Sequence[PackageFinding]) -> None:
    """Print a line of all that are right, a row of each that isn't, a line of all that aren't."""
    right = [f"{p.distribution} {p.version}" for p in packages if p.version and p.severity == "ok"]
    wrong = [
        Finding(f"{p.distribution} {p.version or ''}".strip(), p.severity, p.says, p.mend)
        for p in packages
        if p.severity == "problem" or (p.version and p.severity == "note")
    ]
    rows = [Finding("", "ok", ", ".join(right)), *wrong] if right else wrong
    _findings(console, "Packages", rows)
    missing = [f"{p.distribution} [{p.extra}]" for p in packages if p.version is None]
    if missing:
        console.print(
            f"  [dim]not installed, with the extra that brings each: {shown(', '.join(missing))}[/]"
        )


def _grouped(rows: Sequence[ProviderFinding]) -> list[Finding]:
    """Make a row of each usable provider, and one of all that can't be used for the same cause."""
    found = [
        Finding(
            row.name,
            row.severity,
            row.diagnosis.found + ("" if row.tried else "; edgekit has run no model on it"),
        )
        for row in rows
        if row.diagnosis.usable
    ]
    by_cause: dict[tuple[str, Severity], list[ProviderFinding]] = {}
    for row in rows:
        if not row.diagnosis.usable and not _is_elsewhere(row):
            by_cause.setdefault((row.diagnosis.cause, row.severity), []).append(row)
    for (cause, severity), alike in by_cause.items():
        names = ", ".join(row.name for row in alike)
        found.append(Finding(names, severity, f"{cause}.", _mend(alike)))
        if len(alike) == 1:
            found += [Finding("", severity, f"also: {also}.") for also in alike[0].diagnosis.also]
    return found


def _mend(alike: Sequence[ProviderFinding]) -> str:
    """Say what to do once for several; what each needs besides is said of it alone."""
    mends = {row.diagnosis.mend for row in alike}
    if len(mends) == 1:
        return mends.pop()
    common = {mend.partition(" Then run: ")[0] for mend in mends}
    more = f"edgekit doctor --provider {alike[0].name} says what else is missing."
    return f"{common.pop()} {more}" if len(common) == 1 else more


def _is_elsewhere(row: ProviderFinding) -> bool:
    """Tell whether a provider isn't here and no extra of edgekit's would change that."""
    return row.severity == "note" and not (row.extra and row.needs)


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
