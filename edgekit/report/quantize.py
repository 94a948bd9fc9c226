"""What `edgekit quantize` prints."""

from __future__ import annotations

from rich.console import Console

from edgekit.measure.results import Quality
from edgekit.metrics import Closeness
from edgekit.quantize.making import Quantized
from edgekit.report.compare import print_verdicts
from edgekit.report.figures import MISSING, count, error, share, size
from edgekit.report.kept import drop
from edgekit.report.tables import Column, print_table, shown

_LISTED = 12
"""How many of the nodes that stayed in float32 are told one by one."""


def quantized(console: Console, path: str, done: Quantized) -> None:
    """Print what was made, beside the float variant, what stayed in float32, and the warnings."""
    variant = done.variant
    console.print(
        f"[bold]{shown(path)}[/]  {shown(variant.name)} · {shown(variant.precision)}, made from "
        f"{shown(variant.parent or MISSING)} for {shown(done.target)} · "
        f"{size(done.size_bytes)}, ×{done.size_bytes / done.parent_bytes:.2f}"
    )
    if done.quality is not None and done.parent_quality is not None:
        _print_quality(console, done, done.quality, done.parent_quality)
    _print_closeness(console, done)
    print_verdicts(console, done.verdicts)
    console.print(
        f"In {shown(variant.precision)}: {count(done.nodes, 'node')}. In float32, of those that "
        f"could be: {len(done.kept)}." + _looked_at(done)
    )
    for node, why in list(done.kept.items())[:_LISTED]:
        console.print(f"  {shown(node)}: {shown(why)}")
    if len(done.kept) > _LISTED:
        console.print(f"  … and {len(done.kept) - _LISTED} more: --json lists them all")
    for note in done.notes:
        console.print(shown(note[:1].upper() + note[1:].rstrip(".") + "."))
    console.print(shown(f"Measured on {done.measured_on}. {done.made_for}"), style="dim")
    for warning in done.warnings:
        console.print(f"[yellow]Warning[/]: {shown(warning)}")
    if not done.warnings:
        provider = variant.target.provider
        elsewhere = "" if provider == "cpu" else f" --provider {shown(provider)}"
        console.print(f"Next: edgekit bench {shown(path)}{elsewhere}")


def _looked_at(done: Quantized) -> str:
    calibration = done.variant.recipe.calibration if done.variant.recipe else None
    if calibration is None:
        return f" {count(done.looked_at, 'case')} told how large values get." * (done.looked_at > 0)
    unsaid = calibration.synthetic and "made-up" not in calibration.dataset
    made_up = ", made up" if unsaid else ""
    return (
        f" Ranges by {calibration.method} over {calibration.cases:,} "
        f"{shown(calibration.dataset)}{made_up}."
    )


def _print_quality(console: Console, done: Quantized, ours: Quality, parents: Quality) -> None:
    both = (parents, ours)
    made_up = ", made up" if ours.synthetic and "made-up" not in ours.dataset else ""
    console.print(f"On {ours.cases:,} held-out {shown(ours.dataset)}{made_up}:")
    columns = [
        Column("", [shown(done.variant.parent or MISSING), shown(done.variant.name)], left=True)
    ]
    if ours.accuracy is not None or ours.agreement is not None:
        columns += [
            Column("accuracy [95 %]", [share(quality.accuracy) for quality in both]),
            Column("drop (at most)", [drop(quality.drop) for quality in both]),
            Column("agreement [95 %]", [share(quality.agreement) for quality in both]),
        ]
    columns += [
        Column("max abs error", [_error(quality.closeness) for quality in both]),
        Column("cosine", [_cosine(quality.closeness) for quality in both]),
        Column("size", [size(done.parent_bytes), size(done.size_bytes)]),
    ]
    print_table(console, columns)


def _print_closeness(console: Console, done: Quantized) -> None:
    entries = list(done.closeness.values())
    console.print(
        f"Beside {shown(done.variant.parent or MISSING)}, the furthest of "
        f"{count(done.cases, 'case')}:"
    )
    print_table(
        console,
        [
            Column("output", [shown(name) for name in done.closeness], left=True),
            Column("max abs error", [_error(entry) for entry in entries]),
            Column("cosine", [_cosine(entry) for entry in entries]),
            Column(
                "SQNR dB",
                ["exact" if e.sqnr_db is None else f"{e.sqnr_db:.1f}" for e in entries],
            ),
        ],
    )


def _error(distance: Closeness | None) -> str:
    return MISSING if distance is None else error(distance.max_abs_error)


def _cosine(distance: Closeness | None) -> str:
    return MISSING if distance is None else f"{distance.cosine:.7f}"
