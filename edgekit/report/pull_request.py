"""What was measured, short enough for a pull request, in GitHub's Markdown."""

from __future__ import annotations

from edgekit import machine as machines
from edgekit.measure.results import BenchReport
from edgekit.report import grids
from edgekit.report.bench import conditions, method
from edgekit.report.evidence import Known
from edgekit.report.plain import Grid, in_markdown, markdown
from edgekit.report.verdict import headline

_ROWS = 12


def benches_in_markdown(reports: list[BenchReport]) -> str:
    """Write the tables of benches, each under its conditions, and how they were measured."""
    return "\n".join(_bench(report) for report in reports)


def in_short(known: Known) -> str:
    """Write the verdict, one table, and why variants aren't faster."""
    said = headline(known)
    where = f" on {machines.summary(known.machine)}" if known.machine is not None else ""
    blocks = [
        f"## {in_markdown(known.package.name + where)}\n",
        f"**{in_markdown(said.sentence)}**\n",
        "\n".join(f"- {in_markdown(line)}" for line in said.more) + "\n" if said.more else "",
    ]
    if known.raced is not None:
        blocks.append(_cut(grids.tuned_grid(known.raced)))
    elif known.benches:
        blocks.append(_bench(known.by_batch[0]))
    if known.explained is not None and (reasons := grids.reasons_grid(known.explained)).rows:
        blocks.append(_cut(reasons))
    if known.sensitivities and not (known.raced or known.benches):
        blocks.append(_cut(grids.sensitivity_grid(known.sensitivities[-1])))
    return "\n".join(filter(None, blocks))


def _bench(report: BenchReport) -> str:
    said = " · ".join(map(in_markdown, conditions(report)))
    remarks = [f"{row.label}: {row.unstable}" for row in report.rows if row.unstable]
    remarks += [f"{left.label} is left out: {left.reason}" for left in report.bench.left_out]
    remarks += [f"Note: {note}" for note in report.bench.notes]
    return "\n".join(
        [
            f"**{said}**\n",
            markdown(grids.bench_grid(report)),
            in_markdown(method(report)) + "\n",
            *([*(f"- {in_markdown(remark)}" for remark in remarks), ""] if remarks else []),
        ]
    )


def _cut(table: Grid) -> str:
    """Write the first rows of a table, and how many more there are."""
    more = len(table.rows) - _ROWS
    written = markdown(table._replace(rows=table.rows[:_ROWS]))
    return written + (f"\n… and {more} more: `edgekit report` has them all.\n" if more > 0 else "")
