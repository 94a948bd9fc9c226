"""A bench as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

import msgspec
import pytest

from edgekit import machine as machines
from edgekit.measure.results import BenchReport
from edgekit.report.rows_csv import benches_in_csv


def test_every_figure_has_its_column(bench_report: Callable[..., BenchReport]) -> None:
    reports = [bench_report(), bench_report(batch=4, sizes={"batch": 4, "time": 2})]
    rows = list(csv.DictReader(io.StringIO(benches_in_csv(reports))))
    assert [(row["label"], row["batch"], row["sizes"]) for row in rows] == [
        ("PyTorch eager", "1", "batch=1"),
        ("fp32 · cpu", "1", "batch=1"),
        ("PyTorch eager", "4", "batch=4 time=2"),
        ("fp32 · cpu", "4", "batch=4 time=2"),
    ]
    eager, fp32 = rows[:2]
    assert float(fp32["p50_ms"]) == 0.12
    assert float(fp32["speedup_low"]) == pytest.approx(5.0)
    assert (eager["speedup"], eager["regression"]) == ("", "")
    assert fp32["machine"] == machines.speed_key(reports[0].bench.machine)
    assert float(fp32["import_ms"]) == 100.0


def test_a_label_is_no_formula(bench_report: Callable[..., BenchReport]) -> None:
    made = bench_report()
    rows = [msgspec.structs.replace(made.rows[0], label="=cmd|'/c calc'!A0\x1b"), made.rows[1]]
    text = benches_in_csv([msgspec.structs.replace(made, rows=rows)])
    assert next(csv.DictReader(io.StringIO(text)))["label"] == "'=cmd|'/c calc'!A0\\x1b"
