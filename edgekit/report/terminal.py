"""What `edgekit export` and `check` print."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from edgekit.package.manifest import case_files_of
from edgekit.package.reading import files_of, graph_of
from edgekit.package.values import OutputCloseness, Package
from edgekit.report.contents import in_words, print_assets, print_cases, print_graphs
from edgekit.report.figures import MISSING, count, error, size
from edgekit.report.tables import Column, print_table, shown
from edgekit.runtime.checks import CheckReport
from edgekit.tensors import BY_SHAPE, random_outputs
from edgekit.terms import STRATEGIES


def exported(console: Console, path: str, package: Package) -> None:
    """Print what an export made, how, and how close it came to its original."""
    variant, provenance = package.variants[0], package.provenance
    total = sum(record.size for record in package.files.values())
    model = sum(package.files[name].size for name in files_of(variant))
    whole = "with its cases" if len(package.graphs) == 1 else "the whole package"
    console.print(
        f"[bold]{shown(path)}[/]  {shown(package.name)} · {shown(variant.precision)} · "
        f"opset {variant.facts.opset} · {count(variant.facts.parameters, 'parameter')} · "
        f"{size(model)} ({whole} {size(total)})"
    )
    print_graphs(console, {graph.name: graph.signature for graph in package.graphs})
    if provenance.original == "onnx":
        console.print("Original: the .onnx file itself; there is no PyTorch module behind it.")
    else:
        console.print(f"Strategy: {provenance.strategy} ({STRATEGIES[provenance.strategy]})")
    verification = provenance.verification
    if verification is not None:
        console.print(
            f"Verified{_sizes(verification.sizes)}, "
            + ("the example's values and " if provenance.original == "pytorch" else "")
            + f"{count(verification.draws, 'draw')} of values each:"
        )
        _print_closeness(console, package)
        console.print(f"Held to: {shown(verification.rule)}", style="dim")
    print_cases(console, {graph.name: case_files_of(graph) for graph in package.graphs})
    print_assets(console, package.assets)
    for note in provenance.notes:
        console.print(f"Note: {shown(note)}")


def checked(console: Console, reports: Sequence[CheckReport], *, note: str = "") -> None:
    """Print the verdict on each variant, where answers are off, and what else is to be said."""
    for index, report in enumerate(reports):
        if index:
            console.print()
        _print_check(console, report)
    if note:
        console.print(f"Note: {shown(note)}")


def _print_check(console: Console, report: CheckReport) -> None:
    rows = report.rows
    console.print(
        f"[bold]{shown(report.package)}[/] · {shown(report.variant)} · {shown(report.provider)} · "
        f"{shown(report.machine)}"
    )
    print_table(
        console,
        [
            Column("case", [str(row.case) for row in rows]),
            Column("sizes", [shown(in_words(row.sizes)) for row in rows], left=True),
            Column("output", [shown(row.output) for row in rows], left=True),
            Column("max abs error", [_error(row.max_abs_error) for row in rows]),
            Column("allowed", [_error(row.allowed) for row in rows]),
            Column("cosine", [_cosine(row.cosine, 7) for row in rows]),
            Column(
                "",
                [
                    f"[{'green' if row.status == 'passed' else 'red'}]{row.status}[/]"
                    + (f" ({shown(row.note)})" if row.note else "")
                    for row in rows
                ],
                left=True,
            ),
        ],
    )
    off = [row for row in rows if row.status != "passed"]
    for row in off:
        console.print(f"Case {row.case}, {shown(row.output)}: {shown(row.mismatch)}.")
    if report.note:
        console.print(f"Note: {shown(report.note)}")
    if report.passed:
        console.print(f"[green]Right on this machine[/]: {len(rows)} of {len(rows)} passed.")
    else:
        console.print(
            f"[red]Off on this machine[/]: {len(off)} of {count(len(rows), 'answer')} lie further "
            "from the original's than they may. Don't use this variant here."
        )


def _sizes(sizes: tuple[dict[str, int], ...]) -> str:
    if sizes == ({},):
        return " at the example's sizes"
    by_name: dict[str, set[int]] = {}
    for combination in sizes:
        for name, n in combination.items():
            by_name.setdefault(name, set()).add(n)
    said = "; ".join(f"{name} {', '.join(map(str, sorted(ns)))}" for name, ns in by_name.items())
    return f" at {count(len(sizes), 'size combination')} ({shown(said)})"


def _print_closeness(console: Console, package: Package) -> None:
    """Print a line an output; a random one has no distance, as its line says."""
    rows: list[tuple[str, OutputCloseness | None]] = []
    for variant in package.variants:
        prefix = f"{variant.name}/" if len(package.variants) > 1 else ""
        close = {entry.output: entry for entry in variant.closeness}
        random = sorted(random_outputs(graph_of(package, variant).signature))
        close_or_not = {**close, **dict.fromkeys(random)}
        rows += [(prefix + output, entry) for output, entry in close_or_not.items()]
    entries = [entry for _, entry in rows]
    print_table(
        console,
        [
            Column("output", [shown(label) for label, _ in rows], left=True),
            Column(
                "max abs error", [_error(None if e is None else e.max_abs_error) for e in entries]
            ),
            Column(
                "max rel error", [_error(None if e is None else e.max_rel_error) for e in entries]
            ),
            Column("cosine", [_cosine(None if e is None else e.cosine, 9) for e in entries]),
            Column("SQNR dB", [_sqnr(entry) for entry in entries]),
            *(
                [Column("", [BY_SHAPE if e is None else "" for e in entries], left=True)]
                if None in entries
                else []
            ),
        ],
    )


def _error(value: float | None) -> str:
    return MISSING if value is None else error(value)


def _cosine(value: float | None, places: int) -> str:
    return MISSING if value is None else f"{value:.{places}f}"


def _sqnr(entry: OutputCloseness | None) -> str:
    if entry is None:
        return MISSING
    return "exact" if entry.sqnr_db is None else f"{entry.sqnr_db:.1f}"
