"""Results as HTML tables, for notebooks: no script, no style sheet, every word escaped."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

from edgekit.measure.compare import Compared
from edgekit.measure.results import BenchReport
from edgekit.measure.slowness.values import Explained
from edgekit.quantize.making import Quantized
from edgekit.quantize.searching.ranking import Sensitivity
from edgekit.report import grids
from edgekit.report.bench import conditions
from edgekit.report.plain import Grid
from edgekit.report.text import printable
from edgekit.runtime.explanation import Explanation
from edgekit.tune.results import Tuned

Told = tuple[str, Sequence[Grid]]


def in_html(result: object) -> str:
    """Write a result as a sentence and tables.

    Raises:
        TypeError: nobody has said how such a result is shown.
    """
    for kind, tell in _TELLERS.items():
        if isinstance(result, kind):
            said, tables = tell(result)
            return f"<p><strong>{_escaped(said)}</strong></p>" + "".join(map(_table, tables))
    raise TypeError(f"{type(result).__name__} is no result that is shown as a table")


def _bench(report: BenchReport) -> Told:
    return " · ".join(conditions(report)), [grids.bench_grid(report)]


def _tuned(tuned: Tuned) -> Told:
    return f"{tuned.package}: {tuned.why}", [grids.tuned_grid(tuned)]


def _explained(found: Explained) -> Told:
    tables = [grids.limits_grid(found)]
    reasons = grids.reasons_grid(found)
    return f"{found.package}: how near the limit", [*tables, *([reasons] if reasons.rows else [])]


def _sensitivity(found: Sensitivity) -> Told:
    said = f"{found.package}: {found.variant} in {found.scheme}, each {found.by} alone"
    return said, [grids.sensitivity_grid(found)]


def _compared(done: Compared) -> Told:
    verdicts = [verdict.sentence for verdict in done.verdicts]
    return "; ".join([f"{done.a} beside {done.b}", *verdicts]), [grids.compared_grid(done)]


def _quantized(done: Quantized) -> Told:
    verdicts = [verdict.sentence for verdict in done.verdicts]
    return "; ".join([done.variant.name, *verdicts]), [grids.quantized_grid(done)]


def _explanation(found: Explanation) -> Told:
    return found.package, [grids.explanation_grid(found)]


_TELLERS: dict[type, Callable[[Any], Told]] = {
    BenchReport: _bench,
    Tuned: _tuned,
    Explained: _explained,
    Sensitivity: _sensitivity,
    Compared: _compared,
    Quantized: _quantized,
    Explanation: _explanation,
}


def _table(table: Grid) -> str:
    head = "".join(f'<th scope="col">{_escaped(title)}</th>' for title in table.titles)
    rows = [
        "".join(
            f'<th scope="row">{_escaped(cell)}</th>' if not place else f"<td>{_escaped(cell)}</td>"
            for place, cell in enumerate(row)
        )
        for row in table.rows
    ]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    shown = f"<thead><tr>{head}</tr></thead>" if any(table.titles) else ""
    return f"<table>{shown}<tbody>{body}</tbody></table>"


def _escaped(text: str) -> str:
    return html.escape(printable(text))
