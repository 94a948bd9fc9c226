"""What the commands print for a person to read."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from edgekit import machine
from edgekit.measure.inspection import Inspection
from edgekit.measure.results import BenchReport, Row
from edgekit.package.values import OutputCloseness, Package
from edgekit.report.figures import MISSING, digits, optional, share, size, times
from edgekit.runtime.checks import CheckReport
from edgekit.tensors import Signature


def exported(console: Console, path: str, package: Package) -> None:
    """Print what an export made, and how close it came to its original."""
    variant = package.variants[0]
    total = sum(record.size for record in package.files.values())
    model = package.files[variant.model].size
    console.print(
        f"[bold]{escape(path)}[/]  {escape(package.name)} · {variant.precision} · "
        f"opset {variant.facts.opset} · {variant.facts.parameters:,} parameters · "
        f"{size(model)} (with its cases {size(total)})"
    )
    _print_signature(console, package.graphs[0].signature)
    verification = package.provenance.verification
    assert verification is not None
    if package.provenance.original == "onnx":
        console.print("Original: the .onnx file itself; there is no PyTorch module behind it.")
    sizes = _sizes(verification.sizes)
    console.print(f"Verified{sizes}, {verification.draws} draws of values each:")
    console.print(_closeness_table(variant.closeness))
    console.print(f"Held to: {escape(verification.rule)}", style="dim")
    for case_file in (package.evaluation, package.calibration):
        if case_file is not None:
            console.print(f"{case_file.cases:,} {case_file.name} cases are kept in the package.")
    for note in package.provenance.notes:
        console.print(f"Note: {escape(note)}")


def checked(console: Console, report: CheckReport) -> None:
    """Print a check's verdict, and where answers are off."""
    passed = sum(row.status == "passed" for row in report.rows)
    console.print(
        f"[bold]{escape(report.package)}[/] · {report.variant} · {report.provider} · "
        f"{escape(report.machine)}"
    )
    table = Table(box=None, pad_edge=False)
    for column in ("case", "sizes", "output", "max abs error", "allowed", "cosine", ""):
        table.add_column(column, justify="left" if column in ("sizes", "output", "") else "right")
    for row in report.rows:
        style = "green" if row.status == "passed" else "red"
        table.add_row(
            str(row.case),
            ", ".join(f"{name}={n}" for name, n in row.sizes.items()) or "fixed",
            escape(row.output),
            f"{row.max_abs_error:.2g}",
            f"{row.allowed:.2g}",
            f"{row.cosine:.7f}",
            f"[{style}]{row.status}[/]" + (f" {escape(row.mismatch)}" if row.mismatch else ""),
        )
    console.print(table)
    if report.passed:
        console.print(f"[green]Right on this machine[/]: {passed} of {len(report.rows)} passed.")
    else:
        console.print(
            f"[red]Off on this machine[/]: {len(report.rows) - passed} of {len(report.rows)} "
            "answers are further from the original than they may be. Don't use this variant here."
        )


def benched(console: Console, report: BenchReport) -> None:
    """Print a bench: its conditions, a row a candidate, and what was left out."""
    bench = report.bench
    console.print(escape(" · ".join(_conditions(report))), style="bold")
    top1 = bench.metric == "top1"
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for column in ("p50 ms", "p90", "speedup [95 %]"):
        table.add_column(column, justify="right")
    quality = ("accuracy [95 %]", "agreement") if top1 else ("max abs error", "cosine")
    for column in (*quality, "size MB", "cold start ms", "peak MB"):
        table.add_column(column, justify="right")
    for row in report.rows:
        table.add_row(*_cells(report, row, top1=top1))
    for left in bench.left_out:
        table.add_row(f"[dim]{escape(left.label)}[/]", "[dim]left out[/]")
    console.print(table)
    for left in bench.left_out:
        console.print(f"{escape(left.label)} was left out: {escape(left.reason)}")
    console.print(
        f"Speedup is against {escape(bench.baseline)} ({escape(bench.baseline_is)}), in the same "
        f"run: {len(bench.measurements[0].starts)} fresh processes each, "
        f"{len(bench.measurements[0].starts[0].rounds)} interleaved rounds.",
        style="dim",
    )
    for row in report.rows:
        if row.mismatch:
            console.print(f"[red]{escape(row.label)} answers otherwise[/]: {escape(row.mismatch)}")
        if row.unstable:
            console.print(f"[yellow]{escape(row.label)}[/]: {escape(row.unstable)}")
    for note in bench.notes:
        console.print(f"Note: {escape(note)}")


def inspected(console: Console, found: Inspection) -> None:
    """Print what is in a package or a file."""
    console.print(f"[bold]{escape(found.path)}[/]  {found.kind} · {size(found.total_bytes)}")
    for signature in found.graphs.values():
        _print_signature(console, signature)
    table = Table(box=None, pad_edge=False)
    for column in ("variant", "precision", "made for", "opset", "nodes", "parameters", "size"):
        table.add_column(
            column, justify="right" if column not in ("variant", "made for") else "left"
        )
    for variant in found.variants:
        table.add_row(
            variant.name,
            variant.precision,
            variant.provider + (", any processor" if variant.portable else ""),
            str(variant.facts.opset),
            str(variant.facts.nodes),
            f"{variant.facts.parameters:,}",
            size(variant.size_bytes),
        )
    console.print(table)
    for variant in found.variants:
        operators = ", ".join(f"{n} {name}" for name, n in variant.facts.operators.items())
        console.print(f"Operators of {variant.name}: {escape(operators)}")
    if found.provenance is not None:
        provenance = found.provenance
        versions = ", ".join(f"{name} {v}" for name, v in provenance.versions.items())
        console.print(
            f"From {escape(provenance.source)}, {provenance.strategy}; the original is "
            + ("the .onnx file itself" if provenance.original == "onnx" else "a PyTorch module")
            + (f" ({versions})" if versions else "")
        )
        for note in provenance.notes:
            console.print(f"Note: {escape(note)}")
    for cases in found.cases:
        made_up = " (made-up values)" if cases.synthetic else ""
        console.print(f"{cases.cases:,} {cases.split} cases{made_up}")
    _print_measured(console, found)


def _print_measured(console: Console, found: Inspection) -> None:
    if not found.measured:
        console.print("Nothing was measured of it yet: edgekit bench " + escape(found.path))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("measured on")
    table.add_column("")
    for column in ("p50 ms", "speedup", "accuracy"):
        table.add_column(column, justify="right")
    for row in found.measured:
        table.add_row(
            row.machine,
            escape(row.label),
            digits(row.p50_ms),
            MISSING if row.speedup is None else f"×{digits(row.speedup)}",
            MISSING if row.accuracy is None else f"{100 * row.accuracy:.1f} %",
        )
    console.print(table)


def _conditions(report: BenchReport) -> list[str]:
    bench = report.bench
    said = [
        bench.name,
        machine.summary(bench.machine),
        f"{bench.threads} thread{'s' if bench.threads > 1 else ''}",
        *(f"{name} {n}" for name, n in bench.sizes.items()),
    ]
    idle = next((m.facts.idle for m in bench.measurements if m.facts.idle), None)
    if idle is not None:
        said.append(f"idle {idle}")
    quality = next((m.quality for m in bench.measurements if m.quality), None)
    if quality is not None:
        said.append(f"{quality.cases:,} held-out cases")
    return said


def _cells(report: BenchReport, row: Row, *, top1: bool) -> list[str]:
    baseline = row.label == report.bench.baseline
    quality = (
        [share(row.accuracy), MISSING if baseline else share(row.agreement)]
        if top1
        else [
            MISSING if row.max_abs_error is None else f"{row.max_abs_error:.2g}",
            MISSING if row.cosine is None else f"{row.cosine:.7f}",
        ]
    )
    return [
        escape(row.label),
        digits(row.p50_ms.value),
        digits(row.p90_ms),
        "baseline" if row.speedup is None else times(row.speedup),
        *quality,
        optional(row.size_mb),
        digits(row.cold_ms),
        optional(row.peak_mb),
    ]


def _print_signature(console: Console, signature: Signature) -> None:
    for spec in signature.inputs:
        ranges = [str(d) for d in spec.shape if not isinstance(d, int)]
        console.print(
            f"  in   {escape(str(spec))}" + (f"  ({', '.join(ranges)})" if ranges else "  (fixed)")
        )
    for spec in signature.outputs:
        console.print(f"  out  {escape(str(spec))}")


def _sizes(sizes: tuple[dict[str, int], ...]) -> str:
    if sizes == ({},):
        return " at the example's sizes"
    by_name: dict[str, set[int]] = {}
    for combination in sizes:
        for name, n in combination.items():
            by_name.setdefault(name, set()).add(n)
    said = "; ".join(f"{name} {', '.join(map(str, sorted(ns)))}" for name, ns in by_name.items())
    return f" at {len(sizes)} size combinations ({said})"


def _closeness_table(closeness: tuple[OutputCloseness, ...]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("output")
    for column in ("max abs error", "max rel error", "cosine", "SQNR dB"):
        table.add_column(column, justify="right")
    for entry in closeness:
        table.add_row(
            escape(entry.output),
            f"{entry.max_abs_error:.2g}",
            f"{entry.max_rel_error:.2g}",
            f"{entry.cosine:.9f}",
            "exact" if entry.sqnr_db is None else f"{entry.sqnr_db:.1f}",
        )
    return table
