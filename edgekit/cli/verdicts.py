"""What `edgekit bench` ends with: an exit code, or an error of the outputs or the gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgekit.errors import EdgekitError, GateFailed

if TYPE_CHECKING:
    from edgekit.measure.gates import Gate
    from edgekit.measure.results import BenchReport, Row


def verdict(reports: Sequence[BenchReport], parsed: Sequence[Gate]) -> int:
    """Judge every variant (not the original), and fail on outputs that are not the original's.

    Raises:
        EdgekitError: a run gave other outputs.
        GateFailed: a gate said no.
    """
    from edgekit.measure import gates as gating
    from edgekit.measure.results import figures

    for report in reports:
        for row in report.rows:
            if row.mismatch:
                held = row.label != report.bench.baseline
                whose = "the baseline's" if held else "those that the package recorded"
                raise EdgekitError(
                    f"The runs of {row.label} gave other outputs than {whose}: {row.mismatch}"
                )
    verdicts = [
        gating.judge(gate, figures(row).get(gate.metric), row=_row(row, report))
        for report in reports
        for row in report.rows
        for gate in parsed
        if not row.is_original
        # What wasn't there before, and what the others are measured by, became no slower.
        if gate.metric != "regression" or row.regression is not None
    ]
    tripped = [one.sentence for one in verdicts if one.tripped]
    if tripped:
        raise GateFailed(verdicts=tripped)
    return 0


def _row(row: Row, report: BenchReport) -> str:
    """Name a row; where there are two tables of one model, also which."""
    return row.label + (" (arrays on the device)" if report.bench.arrays == "device" else "")
