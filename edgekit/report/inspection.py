"""What `edgekit inspect` prints."""

from __future__ import annotations

from rich.console import Console

from edgekit.measure.inspection import Inspection, MeasuredRow
from edgekit.package.values import Provenance
from edgekit.report.contents import in_words, print_assets, print_cases, print_graphs
from edgekit.report.figures import MISSING, digits, size
from edgekit.report.kept import kept_in_words
from edgekit.report.tables import Column, print_table, shown


def inspected(console: Console, found: Inspection) -> None:
    """Print what is in a package or a file."""
    console.print(f"[bold]{shown(found.path)}[/]  {found.kind} · {size(found.total_bytes)}")
    print_graphs(console, found.graphs)
    variants = found.variants
    print_table(
        console,
        [
            Column("variant", [shown(v.name) for v in variants], left=True),
            *(
                [Column("graph", [shown(v.graph) for v in variants], left=True)]
                if len(found.graphs) > 1
                else []
            ),
            Column("precision", [shown(v.precision) for v in variants], left=True),
            Column("made for", [shown(v.made_for) for v in variants], left=True),
            Column("opset", [str(v.facts.opset) for v in variants]),
            Column("nodes", [f"{v.facts.nodes:,}" for v in variants]),
            Column("parameters", [f"{v.facts.parameters:,}" for v in variants]),
            Column("size", [size(v.size_bytes) for v in variants]),
        ],
    )
    for variant in variants:
        operators = ", ".join(f"{n} {name}" for name, n in variant.facts.operators.items())
        console.print(f"Operators of {shown(variant.name)}: {shown(operators)}")
    for variant in variants:
        if variant.kept is not None:
            made_up = ", made with made-up values," if variant.synthetic else ""
            console.print(f"{shown(variant.name)}{made_up} {shown(kept_in_words(variant.kept))}")
    if found.provenance is not None:
        provenance = found.provenance
        console.print(
            f"From {shown(provenance.source)} ({shown('; '.join(_labels(provenance)))}); "
            "the original is "
            + ("the .onnx file itself" if provenance.original == "onnx" else "a PyTorch module")
        )
        for note in provenance.notes:
            console.print(f"Note: {shown(note)}")
    print_cases(console, found.cases)
    print_assets(console, found.assets)
    if found.provenance is not None:
        _print_measured(console, found)


def _labels(provenance: Provenance) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions.items())
    labels = [provenance.strategy, provenance.task, "pretrained" if provenance.pretrained else None]
    return [label for label in (*labels, versions) if label]


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
                Column("sizes", [shown(in_words(row.sizes)) for row in rows], left=True),
                Column("threads", [str(row.threads) for row in rows]),
                *(
                    [Column("arrays", [f"on the {row.arrays}" for row in rows], left=True)]
                    if any(row.arrays != "host" for row in rows)
                    else []
                ),
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
