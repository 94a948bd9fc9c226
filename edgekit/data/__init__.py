"""What goes into a model, from wherever it is kept: read a case at a time, and checked."""

from __future__ import annotations

from edgekit.data.made_up import synthetic
from edgekit.data.opening import labelled, metric_for, open_data
from edgekit.data.overlap import refuse_calibrated, refuse_overlap, refuse_rows, rows_of
from edgekit.data.packaged import package_data, without_data
from edgekit.data.repeats import repeats_note
from edgekit.data.rows import row_hashes

__all__ = [
    "labelled",
    "metric_for",
    "open_data",
    "package_data",
    "refuse_calibrated",
    "refuse_overlap",
    "refuse_rows",
    "repeats_note",
    "row_hashes",
    "rows_of",
    "synthetic",
    "without_data",
]
