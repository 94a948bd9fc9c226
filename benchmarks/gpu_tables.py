"""What `benchmarks.gpu` prints: the tables, the goals, and what is still to be measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_args

import msgspec
from rich.console import Console

from benchmarks.gpu_goals import Verdict, verdicts
from benchmarks.gpu_values import Results, Unit, key
from edgekit.measure.results import LeftOut, report
from edgekit.report.bench import benched
from edgekit.report.tables import shown
from edgekit.terms import Memory

BATCHES = (1, 32)
_NOT_RUN = "not run yet"
_STYLES = {"passed": "green", "failed": "red", "undecided": "yellow", "not measured": "dim"}


def print_units(console: Console, units: Sequence[Unit]) -> None:
    """Print a table a unit, so that times with copies and without never stand in one."""
    whole = []
    for unit in units:
        if unit.bench is None:
            continue
        missing = {left.label: left.reason for left in unit.bench.left_out} | unit.left_out
        left_out = [LeftOut(name, reason) for name, reason in missing.items()]
        whole.append(report(msgspec.structs.replace(unit.bench, left_out=left_out)))
    benched(console, whole)
    for unit in units:
        if unit.bench is None:
            console.print(shown(f"{key(unit.model, unit.batch, unit.arrays)}: nothing was timed"))
            for name, reason in unit.left_out.items():
                console.print(f"  {shown(name)}: {shown(reason)}")


def print_goals(console: Console, judged: Sequence[Verdict]) -> None:
    """Print what was to be reached, and whether it was."""
    console.print("Goals", style="bold")
    for one in judged:
        console.print(
            f"[{_STYLES[one.standing]}]{one.standing}[/] · {shown(one.model)} · {shown(one.goal)}: "
            f"{shown(one.says)}"
        )


def not_measured(results: Results, models: Iterable[str]) -> str:
    """Write the Markdown table of all figures that nobody has measured yet, and why."""
    found: dict[tuple[str, str], list[str]] = {}

    def add(model: str, figure: str, why: str) -> None:
        found.setdefault((figure, why), []).append(model)

    for model in models:
        units = [
            (batch, arrays, results.units.get(key(model, batch, arrays)))
            for arrays in sorted(get_args(Memory))  # the device first, as it is measured
            for batch in BATCHES
        ]
        open_units = [_where(batch, arrays) for batch, arrays, unit in units if unit is None]
        if open_units:
            add(model, "; ".join(open_units), results.problems.get(model, _NOT_RUN))
        for batch, arrays, unit in units:
            for row, why in unit.left_out.items() if unit is not None else ():
                add(model, f"{_where(batch, arrays)}: {row}", why)
        for verdict in verdicts(results, [model]):
            if verdict.standing == "not measured":
                add(model, f"goal: {verdict.goal}", verdict.says)
    if not found:
        return "Everything was measured."
    lines = ["| not measured yet | of | because |", "|---|---|---|"]
    for (figure, why), of in found.items():
        named = ", ".join(f"`{model}`" for model in of)
        lines.append(f"| {_cell(figure)} | {named} | {_cell(why)} |")
    return "\n".join(lines)


def _where(batch: int, arrays: Memory) -> str:
    return f"batch {batch}, " + ("on the device" if arrays == "device" else "with copies")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
