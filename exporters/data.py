"""The evaluation and calibration cases that come with a module: read, and held against its inputs.

All of it before the export starts, so that a wrong name or type costs no minutes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edgekit.data import labelled, open_data, refuse_overlap
from edgekit.data.checking import refuse_values, whole_number
from edgekit.data.keeping import (
    CALIBRATION_BYTES,
    CALIBRATION_CASES,
    EVALUATION_BYTES,
    EVALUATION_CASES,
    first_of,
    kept_note,
)
from edgekit.errors import FactoryFailed, InputError
from edgekit.metrics import predictions
from edgekit.package.cases import content_sha256_of_all
from edgekit.runtime.inputs import check_shapes, conform
from edgekit.tensors import Array, Case, Dataset, Signature
from edgekit.terms import Metric, Split
from edgekit.user_code import run_user_code
from exporters.exportable import Exportable
from exporters.requests import ExportOptions

_EVALUATION, _CALIBRATION = "The evaluation data", "The calibration data"


class Data(NamedTuple):
    """Cases that fit the module's inputs; no row is in both."""

    evaluation: list[Case]
    calibration: list[Case]


class Chosen(NamedTuple):
    """What an export takes for data, once a user has had a say.

    `names` says what the cases of each side are, several of them; `counts` how many a user gave.
    """

    exportable: Exportable
    names: dict[Split, str]
    counts: dict[Split, int]
    labelled: bool


def chosen_data(exportable: Exportable, options: ExportOptions, signature: Signature) -> Chosen:
    """Put the data that a user names in the place of those that come with the module.

    Args:
        exportable: the module and its own data.
        options: names the data.
        signature: what the module takes; what it gives isn't known yet.

    Raises:
        What `edgekit.data.open_data` raises.
    """
    names: dict[Split, str] = {"test": exportable.dataset, "train": exportable.dataset}
    counts: dict[Split, int] = {}
    folder, has_labels = Path(options.data_folder), False
    if options.eval_data is not None:
        given = open_data(
            options.eval_data, signature, split="test", metric=exportable.metric, folder=folder
        )
        exportable = dataclasses.replace(exportable, evaluation=given.open)
        names["test"], counts["test"], has_labels = given.name, given.cases, labelled(given)
    if options.calib_data is not None:
        given = open_data(options.calib_data, signature, split="train", folder=folder)
        exportable = dataclasses.replace(exportable, calibration=given.open)
        names["train"], counts["train"] = given.name, given.cases
    return Chosen(exportable, names, counts, has_labels)


def data_of(exportable: Exportable, signature: Signature) -> Data:
    """Read the cases, up to a number and a size.

    Raises:
        FactoryFailed: reading raises, a case doesn't fit the inputs, or a label is no whole
            number, or is missing where answers are judged by it.
        BadValue: a row is in both sets.
    """
    evaluation = _read(
        exportable.evaluation, signature, _EVALUATION, EVALUATION_CASES, EVALUATION_BYTES
    )
    calibration = _read(
        exportable.calibration, signature, _CALIBRATION, CALIBRATION_CASES, CALIBRATION_BYTES
    )
    if exportable.metric == "top1":
        for index, case in enumerate(evaluation):
            if case.label is None:
                raise _unfit(_EVALUATION, index, "it has no label, and the metric is top1")
    refuse_overlap(
        _dataset(calibration, "train", exportable.dataset),
        _dataset(evaluation, "test", exportable.dataset),
        signature=signature,
    )
    return Data(evaluation, calibration)


def metric_of(chosen: Chosen, evaluation: Sequence[Case], outputs: Mapping[str, Array]) -> Metric:
    """Decide how answers are judged: by right classes too where a user's data have labels for them.

    Args:
        chosen: the module and what is known about its data.
        evaluation: its cases.
        outputs: what the module answers to its example; the first output holds the scores.

    Raises:
        FactoryFailed: a label is of no class that the module knows.
    """
    scores = next(iter(outputs.values()))
    classes = scores.shape[-1] if scores.ndim == 2 and scores.dtype.kind not in "biu" else None
    metric = "top1" if chosen.labelled and classes else chosen.exportable.metric
    if metric == "top1" and classes:
        for index, case in enumerate(evaluation):
            if case.label is not None and not 0 <= case.label < classes:
                known = f"the module scores the classes 0 to {classes - 1}"
                raise _unfit(_EVALUATION, index, f"its label is {case.label}, and {known}")
    return metric


def kept_notes(chosen: Chosen, data: Data) -> list[str]:
    """Say where a package keeps fewer cases than a user gave."""
    kept: tuple[tuple[str, Split, list[Case]], ...] = (
        ("evaluation", "test", data.evaluation),
        ("calibration", "train", data.calibration),
    )
    return [
        note
        for what, split, cases in kept
        for note in kept_note(what, kept=len(cases), given=chosen.counts.get(split, len(cases)))
    ]


def refuse_without_classes(evaluation: Sequence[Case]) -> None:
    """Refuse answers that no class can be read from.

    Raises:
        FactoryFailed: the first output doesn't hold one row of scores for each case's one label.
    """
    for index, case in enumerate(evaluation):
        try:
            rows = predictions(case.outputs or {}).size
        except InputError as error:
            raise _unfit(_EVALUATION, index, f"{error} The metric is top1") from error
        if rows != 1:
            raise _unfit(_EVALUATION, index, f"it has one label and the module gave {rows} rows")


def _read(
    open_cases: Callable[[], Iterator[Case]] | None,
    signature: Signature,
    what: str,
    most: int,
    most_bytes: int,
) -> list[Case]:
    if open_cases is None:
        return []

    def read() -> list[Case]:
        fitting = (_fitting(case, signature, what, i) for i, case in enumerate(open_cases()))
        return list(first_of(fitting, most=most, most_bytes=most_bytes))

    cases: list[Case] = run_user_code(read, target=what, made="exported")
    return cases


def _fitting(case: Any, signature: Signature, what: str, index: int) -> Case:
    if not isinstance(case, Case):
        expected = "an edgekit.tensors.Case was expected"
        raise _unfit(what, index, f"it is a {type(case).__name__}; {expected}")
    try:
        feed = conform(signature, case.feed)
        check_shapes(signature, feed)
        refuse_values(signature, feed)
        label = None if case.label is None else whole_number(case.label)
    except InputError as error:
        raise _unfit(what, index, str(error)) from error
    # Copied: what yields cases may fill the same array anew for each.
    return Case({name: array.copy() for name, array in feed.items()}, label=label)


def _unfit(what: str, index: int, problem: str) -> FactoryFailed:
    return FactoryFailed(
        target=what, problem=f"doesn't fit the module at case {index}: {problem.rstrip('.')}"
    )


def _dataset(cases: list[Case], split: Split, name: str) -> Dataset:
    return Dataset(
        name=name,
        split=split,
        sha256=content_sha256_of_all(cases),
        cases=len(cases),
        open=lambda: iter(cases),
    )
