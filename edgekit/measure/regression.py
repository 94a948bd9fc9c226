"""A bench against one from before: how many times slower each row has become.

Two runs share no round, so their times can't be compared: the machine had other minutes. What is
compared is each one's speedup against the original that ran beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgekit import machine as machines
from edgekit.errors import BadValue, NotFound
from edgekit.measure.results import SCHEMA_VERSION, BenchReport, Row
from edgekit.metrics import Estimate

METHOD = "square-and-add on the logarithms of two speedups, 95 %"


def read_baseline(path: Path) -> tuple[BenchReport, ...]:
    """Read what `edgekit bench --json` wrote before, on this kind of machine.

    Raises:
        NotFound: there is no such file.
        BadValue: it is something else, of another version, or of another kind of machine.
    """
    if not path.is_file():
        raise NotFound(path=str(path), expected="what 'edgekit bench --json' printed before")
    try:
        read = msgspec.json.decode(path.read_bytes(), type=BenchReport | list[BenchReport])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadValue(
            what=f"--baseline {path}",
            asked=f"read ({error})",
            expected="what 'edgekit bench --json' printed",
        ) from None
    reports = read if isinstance(read, list) else [read]
    here = machines.speed_key(machines.describe())
    for report in reports:
        if report.schema_version != SCHEMA_VERSION:
            raise BadValue(
                what=f"--baseline {path}",
                asked=f"read, of the form {report.schema_version}",
                expected=f"the form {SCHEMA_VERSION}: measure it again with this version",
            )
        there = machines.speed_key(report.bench.machine)
        if there != here:
            raise BadValue(
                what=f"--baseline {path}",
                asked=f"compared, since it was measured on {there}",
                expected=f"a bench of this kind of machine, {here}: times of another say nothing "
                "of this one's",
            )
    return tuple(reports)


def against_before(report: BenchReport, before: Sequence[BenchReport]) -> BenchReport:
    """Add to each row how many times slower it is than the row of its label before.

    The row's `regression` is its speedup before by its speedup now: above 1 it became slower. A
    row that wasn't there before, and the baseline itself, have none.

    Args:
        report: the bench of now.
        before: benches of before, of which the one under the same conditions counts.

    Raises:
        BadValue: there is none under the same conditions, or none with a row of the same label;
            says what differs.
    """
    old = _same(report, before)
    before_by_label = {row.label: row for row in old.rows}
    rows = [
        msgspec.structs.replace(row, regression=_regression(row, before_by_label.get(row.label)))
        for row in report.rows
    ]
    if not any(row.regression for row in rows):
        measured = ", ".join(row.label for row in rows if row.speedup)
        raise BadValue(
            what="--baseline",
            asked=f"compared with this bench: it has the rows {', '.join(before_by_label)}",
            expected=f"one with {measured}"
            if measured
            else "rows beside the one that speedups are against: the original, or a second variant",
        )
    return msgspec.structs.replace(report, rows=rows)


def ratio(above: Estimate, below: Estimate) -> Estimate:
    """Divide two estimates that were made apart, each with an interval around a positive value.

    On a logarithmic scale the distance from the ratio to each of its ends is the root of the two
    estimates' own squared distances on the sides that matter (Zou and Donner, "Construction of
    confidence limits about effect measures", Statistics in Medicine 27, 2008).
    """
    value = above.value / below.value
    down = math.hypot(math.log(above.value / above.low), math.log(below.high / below.value))
    up = math.hypot(math.log(above.high / above.value), math.log(below.value / below.low))
    n = min(above.n, below.n)
    return Estimate(value, value * math.exp(-down), value * math.exp(up), n, METHOD)


def _regression(now: Row, before: Row | None) -> Estimate | None:
    if before is None or before.speedup is None or now.speedup is None:
        return None
    return ratio(before.speedup, now.speedup)


def _same(report: BenchReport, before: Sequence[BenchReport]) -> BenchReport:
    """Find the bench under the same conditions, or say how the nearest differs."""
    wanted = _conditions(report)
    differences = [
        [
            f"{name} {_in_words(value)} and now {_in_words(wanted[name])}"
            for name, value in _conditions(old).items()
            if value != wanted[name]
        ]
        for old in before
    ]
    for old, found in zip(before, differences, strict=True):
        if not found:
            return old
    nearest = min(differences, key=len, default=["there is no bench in it"])
    raise BadValue(
        what="--baseline",
        asked=f"compared with this bench: {'; '.join(nearest)}",
        expected="a bench of the same model under the same conditions",
    )


def _conditions(report: BenchReport) -> dict[str, Any]:
    bench = report.bench
    return {
        "the model": bench.name,
        "the baseline": bench.baseline,
        "sizes": bench.sizes,
        "threads": bench.threads,
        "arrays": bench.arrays,
        "the provider's options": bench.provider_options,
        "idle threads": sorted({m.facts.idle for m in bench.measurements if m.facts.idle}),
    }


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {n}" for name, n in value.items()) or "none"
    return ", ".join(value) or "none" if isinstance(value, list) else str(value)
