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
    models = list(models)
    lines = ["| not measured yet | because |", "|---|---|"]
    for model in models:
        open_units = [
            _where(batch, arrays)
            for arrays in get_args(Memory)
            for batch in BATCHES
            if (unit := results.units.get(key(model, batch, arrays))) is None or not unit.bench
        ]
        if open_units:
            why = results.problems.get(model, "not run yet")
            lines.append(f"| `{model}`: {'; '.join(open_units)} | {_cell(why)} |")
    for unit in results.units.values():
        if unit.model in models:
            where = _where(unit.batch, unit.arrays)
            lines += [
                f"| `{unit.model}`, {where}: {name} | {_cell(why)} |"
                for name, why in unit.left_out.items()
            ]
    for verdict in verdicts(results, models):
        if verdict.standing == "not measured":
            lines.append(f"| goal for `{verdict.model}`: {verdict.goal} | {_cell(verdict.says)} |")
    return "\n".join(lines) if len(lines) > 2 else "Everything was measured."


def _where(batch: int, arrays: Memory) -> str:
    return f"batch {batch}, " + ("on the device" if arrays == "device" else "with copies")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
