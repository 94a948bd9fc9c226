"""What `edgekit bench` prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from edgekit import machine
from edgekit.measure.results import MB, Bench, BenchReport, Row
from edgekit.measure.statistics import speedup
from edgekit.report.figures import MISSING, count, digits, error, share, size, times
from edgekit.report.kept import drop
from edgekit.report.placement import sentence
from edgekit.report.tables import Column, print_table, shown

_BETWEEN_CALLS = {
    "spin": "spin",
    "brief": "spin for 200 µs and then sleep",
    "sleep": "sleep",
}


_FLOAT, _FEWER = "fp32", ("int8", "int4", "fp16", "bf16")


def benched(console: Console, reports: Sequence[BenchReport]) -> None:
    """Print benches, each with its conditions, a row a candidate, and what was left out."""
    for index, report in enumerate(reports):
        if index:
            console.print()
        _print_one(console, report)


def _print_one(console: Console, report: BenchReport) -> None:
    bench = report.bench
    console.print(" · ".join(map(shown, conditions(report))), style="bold")
    print_table(console, columns(report))
    console.print()
    for left in bench.left_out:
        console.print(f"{shown(left.label)} is left out: {shown(left.reason)}")
    console.print(shown(method(report)), style="dim")
    for measured in bench.measurements:
        facts = measured.facts
        if facts.placement is None:  # an original; of a variant the label or the placement says it
            if facts.computes is not None:
                console.print(f"{shown(measured.label)} computes in {shown(facts.computes)}.")
        # Of the CPU provider there is nothing to tell: everything else falls back to it.
        elif facts.provider != "cpu":
            console.print(f"{shown(measured.label)} {shown(sentence(facts))}.")
    for row in report.rows:
        if row.mismatch:
            console.print(f"[red]{shown(row.label)} answers otherwise[/]: {shown(row.mismatch)}")
        if row.unstable:
            console.print(f"[yellow]{shown(row.label)}[/]: {shown(row.unstable)}")
    for label, before in _slower(report):
        console.print(
            f"{shown(label)} is slower than {shown(before)}: edgekit explain PACKAGE says why.",
            style="dim",
        )
    for note in bench.notes:
        console.print(f"Note: {shown(note)}")


def _slower(report: BenchReport) -> list[tuple[str, str]]:
    """Name the variants of fewer bits that are slower than the first one in float32, by more than
    the interval, and that one."""
    rounds = {m.label: [s.rounds for s in m.starts] for m in report.bench.measurements}
    variants = [row for row in report.rows if not row.is_original]
    first = next((row for row in variants if row.precision == _FLOAT), None)
    if first is None:
        return []
    return [
        (row.label, first.label)
        for row in variants
        if row.precision in _FEWER and speedup(rounds[first.label], rounds[row.label]).high < 1
    ]


def conditions(report: BenchReport) -> list[str]:
    """Say of what, on what and how a bench was: its heading, a part each."""
    bench = report.bench
    said = [
        bench.name,
        machine.summary(bench.machine),
        count(bench.threads, "thread"),
        *(f"{name} {n}" for name, n in bench.sizes.items()),
        *([_arrays(bench)] if bench.device else []),
        *(f"{name}={value}" for name, value in bench.provider_options.items()),
    ]
    quality = next((m.quality for m in bench.measurements if m.quality), None)
    if quality is not None:
        said.append(
            f"{quality.cases:,} {quality.dataset}, made up"
            if quality.synthetic
            else f"{quality.cases:,} held-out {quality.dataset}"
        )
    return said


def _arrays(bench: Bench) -> str:
    """Say what a time is of: with the way to the device and back, or without."""
    if bench.arrays == "host":
        return "inputs and outputs in the host's memory, copies timed"
    where = "GPU" if bench.device == "cuda" else "device"
    return f"inputs and outputs on the {where}, no copies timed"


def method(report: BenchReport) -> str:
    """Say what a bench's figures mean, and how they were measured."""
    bench = report.bench
    starts = bench.measurements[0].starts
    idle = next((m.facts.idle for m in bench.measurements if m.facts.idle), None)
    return (
        f"Speedup is against {bench.baseline} ({bench.baseline_is}), in this run: "
        f"{count(len(starts), 'fresh process', plural='fresh processes')} of each, "
        f"{count(len(starts[0].rounds), 'interleaved round')} in each process."
        + (
            " A drop is how many more of the right answers the original has, and at most so many "
            "with 95 %."
            if any(row.drop is not None for row in report.rows)
            else ""
        )
        + (f" Between calls ONNX Runtime's threads {_BETWEEN_CALLS[idle]}." if idle else "")
    )


def columns(report: BenchReport) -> list[Column]:
    """List the columns of the table of a bench, what was left out in rows of its own."""
    bench, rows = report.bench, report.rows
    classes = bench.metric != "closeness"
    figures = [
        ("p90 ms", [digits(row.p90_ms) for row in rows]),
        ("speedup [95 %]", [times(row.speedup) if row.speedup else "baseline" for row in rows]),
        *_against_before(rows),
        *(_against_labels(rows, bench.baseline) if classes else _against_numbers(rows)),
        ("size", [MISSING if row.size_mb is None else size(row.size_mb * MB) for row in rows]),
        ("cold start", [f"{digits(row.cold_ms)} ms" for row in rows]),
        (
            "peak memory",
            [MISSING if row.peak_mb is None else f"{digits(row.peak_mb)} MiB" for row in rows],
        ),
    ]
    labels = [shown(row.label) for row in rows]
    labels += [f"[dim]{shown(left.label)}[/]" for left in bench.left_out]
    p50 = [digits(row.p50_ms.value) for row in rows] + ["left out" for _ in bench.left_out]
    absent = ["" for _ in bench.left_out]
    return [
        Column("", labels, left=True),
        Column("p50 ms", p50),
        *(Column(title, [*cells, *absent]) for title, cells in figures),
    ]


def _against_before(rows: Sequence[Row]) -> list[tuple[str, list[str]]]:
    """Say how many times slower rows became, where a bench from before was given."""
    if not any(row.regression for row in rows):
        return []
    cells = [times(row.regression) if row.regression else MISSING for row in rows]
    return [("slower than before [95 %]", cells)]


def _against_labels(rows: Sequence[Row], baseline: str) -> list[tuple[str, list[str]]]:
    labelled = any(row.accuracy is not None for row in rows)
    dropped = any(row.drop is not None for row in rows)
    return [
        *([("accuracy [95 %]", [share(row.accuracy) for row in rows])] if labelled else []),
        *([("drop (at most)", [drop(row.drop) for row in rows])] if dropped else []),
        (
            "agreement [95 %]",
            [MISSING if row.label == baseline else share(row.agreement) for row in rows],
        ),
    ]


def _against_numbers(rows: Sequence[Row]) -> list[tuple[str, list[str]]]:
    return [
        (
            "max abs error",
            [MISSING if row.max_abs_error is None else error(row.max_abs_error) for row in rows],
        ),
        ("cosine", [MISSING if row.cosine is None else f"{row.cosine:.7f}" for row in rows]),
    ]
