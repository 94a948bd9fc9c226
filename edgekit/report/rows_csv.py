"""Benches as CSV: a row a candidate, a column a figure, an interval's ends beside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from edgekit import machine as machines
from edgekit.measure.results import BenchReport, Row, figures
from edgekit.metrics import Estimate
from edgekit.report.text import printable

_ESTIMATES = frozenset(
    {"p50_ms", "p95_ms", "p99_ms", "speedup", "accuracy", "agreement", "drop", "regression"}
)
"""Figures that have an interval wherever they are known."""


def benches_in_csv(reports: Sequence[BenchReport]) -> str:
    """Write every row of benches with all of its figures and with what it was measured under.

    A figure that isn't known is empty. Figures are written in full, so that nothing is lost.
    """
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    rows = [dict(_cells(report, row)) for report in reports for row in report.rows]
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow(_cell(value) for value in row.values())
    return written.getvalue()


def _cells(report: BenchReport, row: Row) -> Iterator[tuple[str, Any]]:
    bench = report.bench
    yield "name", bench.name
    yield "machine", machines.speed_key(bench.machine)
    yield "batch", bench.batch
    yield "sizes", " ".join(f"{name}={n}" for name, n in bench.sizes.items())
    yield "threads", bench.threads
    yield "arrays", bench.arrays
    yield "baseline", bench.baseline
    for name, value in figures(row).items():
        if name in _ESTIMATES:
            estimate: Estimate | None = value
            yield name, None if estimate is None else estimate.value
            yield f"{name}_low", None if estimate is None else estimate.low
            yield f"{name}_high", None if estimate is None else estimate.high
        elif isinstance(value, msgspec.Struct):
            yield from msgspec.structs.asdict(value).items()
        else:
            yield name, value


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str):
        # A spreadsheet takes a cell that begins so for a formula, and runs it.
        return f"'{printable(value)}" if value[:1] in ("=", "+", "-", "@") else printable(value)
    return value
