"""What `edgekit export`, `check` and `inspect` print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console

from edgekit.measure.inspection import InspectedVariant, Inspection, MeasuredRow
from edgekit.package.values import CaseFile, OutputCloseness, Package
from edgekit.report.figures import MISSING, count, digits, error, size
from edgekit.report.tables import Column, print_table, shown
from edgekit.runtime.checks import CheckReport
from edgekit.tensors import Signature

_SIDES = {"reference": "reference", "test": "held-out", "train": "calibration"}


def exported(console: Console, path: str, package: Package) -> None:
    """Print what an export made, and how close it came to its original."""
    variant = package.variants[0]
    total = sum(record.size for record in package.files.values())
    model = sum(package.files[name].size for name in (variant.model, *variant.files))
    console.print(
        f"[bold]{shown(path)}[/]  {shown(package.name)} · {shown(variant.precision)} · "
        f"opset {variant.facts.opset} · {count(variant.facts.parameters, 'parameter')} · "
        f"{size(model)} (with its cases {size(total)})"
    )
    _print_signature(console, package.graphs[0].signature)
    if package.provenance.original == "onnx":
        console.print("Original: the .onnx file itself; there is no PyTorch module behind it.")
    verification = package.provenance.verification
    if verification is not None:
        console.print(
            f"Verified{_sizes(verification.sizes)}, "
            + ("the example's values and " if package.provenance.original == "pytorch" else "")
            + f"{count(verification.draws, 'draw')} of values each:"
        )
        _print_closeness(console, variant.closeness)
        console.print(f"Held to: {shown(verification.rule)}", style="dim")
    _print_cases(console, package.reference, package.evaluation, package.calibration)
    for note in package.provenance.notes:
        console.print(f"Note: {shown(note)}")


def checked(console: Console, report: CheckReport) -> None:
    """Print a check's verdict, and where answers are off."""
    rows = report.rows
    console.print(
        f"[bold]{shown(report.package)}[/] · {shown(report.variant)} · {shown(report.provider)} · "
        f"{shown(report.machine)}"
    )
    print_table(
        console,
        [
            Column("case", [str(row.case) for row in rows]),
            Column("sizes", [shown(_in_words(row.sizes)) for row in rows], left=True),
            Column("output", [shown(row.output) for row in rows], left=True),
            Column("max abs error", [error(row.max_abs_error) for row in rows]),
            Column("allowed", [error(row.allowed) for row in rows]),
            Column("cosine", [f"{row.cosine:.7f}" for row in rows]),
            Column(
                "",
                [
                    f"[{'green' if row.status == 'passed' else 'red'}]{row.status}[/]"
                    for row in rows
                ],
                left=True,
            ),
        ],
    )
    off = [row for row in rows if row.status != "passed"]
    for row in off:
        console.print(f"Case {row.case}, {shown(row.output)}: {shown(row.mismatch)}.")
    if report.passed:
        console.print(f"[green]Right on this machine[/]: {len(rows)} of {len(rows)} passed.")
    else:
        console.print(
            f"[red]Off on this machine[/]: {len(off)} of {count(len(rows), 'answer')} lie further "
            "from the original's than they may. Don't use this variant here."
        )


def inspected(console: Console, found: Inspection) -> None:
    """Print what is in a package or a file."""
    console.print(f"[bold]{shown(found.path)}[/]  {found.kind} · {size(found.total_bytes)}")
    for signature in found.graphs.values():
        _print_signature(console, signature)
    variants = found.variants
    print_table(
        console,
        [
            Column("variant", [shown(v.name) for v in variants], left=True),
            Column("precision", [shown(v.precision) for v in variants], left=True),
            Column("made for", [_made_for(v) for v in variants], left=True),
            Column("opset", [str(v.facts.opset) for v in variants]),
            Column("nodes", [f"{v.facts.nodes:,}" for v in variants]),
            Column("parameters", [f"{v.facts.parameters:,}" for v in variants]),
            Column("size", [size(v.size_bytes) for v in variants]),
        ],
    )
    for variant in variants:
        operators = ", ".join(f"{n} {name}" for name, n in variant.facts.operators.items())
        console.print(f"Operators of {shown(variant.name)}: {shown(operators)}")
    if found.provenance is not None:
        provenance = found.provenance
        versions = ", ".join(f"{name} {v}" for name, v in provenance.versions.items())
        console.print(
            f"From {shown(provenance.source)} ({provenance.strategy}"
            + (f"; {shown(versions)}" if versions else "")
            + "); the original is "
            + ("the .onnx file itself" if provenance.original == "onnx" else "a PyTorch module")
        )
        for note in provenance.notes:
            console.print(f"Note: {shown(note)}")
    _print_cases(console, *found.cases)
    if found.provenance is not None:
        _print_measured(console, found)


def _made_for(variant: InspectedVariant) -> str:
    if variant.provider == "any":
        return "any provider"
    return shown(variant.provider) + (", any processor" if variant.portable else "")


def _print_measured(console: Console, found: Inspection) -> None:
    if not found.measured:
        console.print(f"Nothing was measured of it yet: edgekit bench {shown(found.path)}")
        return
    by_machine: dict[str, list[MeasuredRow]] = {}
    for row in found.measured:
        by_machine.setdefault(row.machine, []).append(row)
    for machine, rows in by_machine.items():
        console.print(f"Measured on {shown(machine)}:")
        print_table(
            console,
            [
                Column("", [shown(row.label) for row in rows], left=True),
                Column("sizes", [shown(_in_words(row.sizes)) for row in rows], left=True),
                Column("threads", [str(row.threads) for row in rows]),
                Column("p50 ms", [digits(row.p50_ms) for row in rows]),
                Column(
                    "speedup",
                    ["baseline" if r.speedup is None else f"×{digits(r.speedup)}" for r in rows],
                ),
                Column(
                    "accuracy",
                    [MISSING if r.accuracy is None else f"{100 * r.accuracy:.1f} %" for r in rows],
                ),
            ],
        )


def _print_cases(console: Console, *files: CaseFile | None) -> None:
    said = [
        f"{cases.cases:,} {_SIDES[cases.split]} {shown(cases.name)}"
        for cases in files
        if cases is not None
    ]
    if said:
        console.print(f"In the package: {', '.join(said)}")


def _print_signature(console: Console, signature: Signature) -> None:
    for spec in signature.inputs:
        ranges = [str(d) for d in spec.shape if not isinstance(d, int)]
        console.print(
            f"  in   {shown(str(spec))}"
            + (f"  ({', '.join(map(shown, ranges))})" if ranges else "  (fixed)")
        )
    for spec in signature.outputs:
        console.print(f"  out  {shown(str(spec))}")


def _in_words(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sizes.items()) or "fixed"


def _sizes(sizes: tuple[dict[str, int], ...]) -> str:
    if sizes == ({},):
        return " at the example's sizes"
    by_name: dict[str, set[int]] = {}
    for combination in sizes:
        for name, n in combination.items():
            by_name.setdefault(name, set()).add(n)
    said = "; ".join(f"{name} {', '.join(map(str, sorted(ns)))}" for name, ns in by_name.items())
    return f" at {count(len(sizes), 'size combination')} ({shown(said)})"


def _print_closeness(console: Console, closeness: Sequence[OutputCloseness]) -> None:
    print_table(
        console,
        [
            Column("output", [shown(entry.output) for entry in closeness], left=True),
            Column("max abs error", [error(entry.max_abs_error) for entry in closeness]),
            Column("max rel error", [error(entry.max_rel_error) for entry in closeness]),
            Column("cosine", [f"{entry.cosine:.9f}" for entry in closeness]),
            Column(
                "SQNR dB",
                ["exact" if e.sqnr_db is None else f"{e.sqnr_db:.1f}" for e in closeness],
            ),
        ],
    )
