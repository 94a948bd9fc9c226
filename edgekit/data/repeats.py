"""Cases that repeat others: an interval that takes each for a draw of its own looks too sure."""

from __future__ import annotations

from edgekit.package.cases import content_sha256
from edgekit.tensors import Dataset

_FEW = 0.05
"""A share of repeats that narrows an interval by less than a fortieth."""


def repeats_note(dataset: Dataset) -> str:
    """Say that many of the cases are repeats of others; "" where few are, or they are made up.

    Cases that nobody has counted are read once.

    Raises:
        What reading the dataset raises.
    """
    if dataset.synthetic:
        return ""
    different = dataset.different
    if different is None:
        different = len({(content_sha256(case.feed), case.label) for case in dataset.open()})
    if different >= (1 - _FEW) * dataset.cases:
        return ""
    return (
        f"only {different:,} of the {dataset.cases:,} {dataset.name} differ from each other, and "
        "each is counted as a draw of its own: intervals and budgets look surer than they are"
    )
