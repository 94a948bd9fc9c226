"""Which cases two models are compared on: given ones, those of a package, or made-up ones."""

from __future__ import annotations

from edgekit.data import (
    open_data,
    package_data,
    refuse_calibrated,
    refuse_overlap,
    synthetic,
)
from edgekit.errors import BadValue
from edgekit.fixed_sizes import fitting_dataset, in_words
from edgekit.measure.sides import Side
from edgekit.tensors import Dataset
from edgekit.terms import Metric, Split


def own_metric(a: Side, b: Side) -> Metric:
    """Give the metric of the first of the two that is of a package; closeness without one."""
    for side in (a, b):
        if side.subject is not None and side.subject.package is not None:
            return side.subject.package.metric
    return "closeness"


def cases_for(
    a: Side, b: Side, *, eval_data: str | None = None, calib_data: str | None = None
) -> Dataset:
    """Open the cases that two models are compared on.

    Args:
        a: the first; where both are of packages its cases are taken.
        b: the second.
        eval_data: where cases come from instead, see `edgekit.data.open_data`.
        calib_data: what either was calibrated with, of which no row may be among the cases.

    Returns:
        The given cases; else a package's held-out ones, else its reference cases, else made-up
        values.

    Raises what `edgekit.data.open_data` raises, and
        BadValue: a row was calibrated with.
    """
    dataset = _fitting(_cases(a, b, eval_data), a, b)
    if calib_data is not None:
        calibration = open_data(calib_data, a.signature, split="train")
        refuse_overlap(calibration, dataset, signature=a.signature)
    if eval_data is not None:
        for side in (a, b):
            subject = side.subject
            if subject is not None and subject.package is not None and subject.graph is not None:
                refuse_calibrated(subject.path, subject.package, subject.graph, evaluation=dataset)
    return dataset


def _fitting(dataset: Dataset, a: Side, b: Side) -> Dataset:
    """Give the cases that both can be run on, where one is fixed to sizes."""
    sizes: dict[str, int] = {}
    for side in (a, b):
        if side.subject is not None and side.subject.variants:
            sizes.update(side.subject.variants[0].sizes)
    found = fitting_dataset(dataset, a.signature, sizes)
    if not found.cases:
        raise BadValue(
            what="what two models are compared on",
            asked=f"{dataset.name}, of which no case fits {in_words(sizes)}",
            expected="--eval-data with cases of these sizes",
        )
    return found


def _cases(a: Side, b: Side, eval_data: str | None) -> Dataset:
    if eval_data is not None:
        return open_data(eval_data, a.signature, split="test")
    splits: tuple[Split, ...] = ("test", "reference")
    for split in splits:
        for side in (a, b):
            subject = side.subject
            if subject is None or subject.package is None or subject.graph is None:
                continue
            found = package_data(subject.path, subject.package, subject.graph, split=split)
            if found is not None:
                return found
    return synthetic(a.signature, split="test")
