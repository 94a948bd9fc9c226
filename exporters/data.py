"""The evaluation and calibration cases that come with a module: read, and held against its inputs.

All of it before the export starts, so that a wrong name or type costs no minutes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from edgekit.errors import BadValue, FactoryFailed, InputError
from edgekit.metrics import predictions
from edgekit.package.cases import content_sha256
from edgekit.runtime.inputs import check_shapes, conform
from edgekit.tensors import Case, Signature
from exporters.exportable import Exportable
from exporters.sources import run_user_code

EVALUATION_CASES, EVALUATION_BYTES = 1_500, 64 << 20
CALIBRATION_CASES, CALIBRATION_BYTES = 256, 32 << 20
_EVALUATION, _CALIBRATION = "The evaluation data", "The calibration data"


class Data(NamedTuple):
    """Cases that fit the module's inputs; no case is in both."""

    evaluation: list[Case]
    calibration: list[Case]


def data_of(exportable: Exportable, signature: Signature) -> Data:
    """Read the cases, up to a number and a size.

    Raises:
        FactoryFailed: reading raises, a case doesn't fit the inputs, or a label is no whole
            number, or is missing where answers are judged by it.
        BadValue: a case is in both sets.
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
    _refuse_overlap(evaluation, calibration)
    return Data(evaluation, calibration)


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


def nbytes(case: Case) -> int:
    """Count the bytes that a case's arrays take."""
    return sum(np.asarray(a).nbytes for a in (*case.feed.values(), *(case.outputs or {}).values()))


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
        return list(_bounded(open_cases(), signature, what, most, most_bytes))

    cases: list[Case] = run_user_code(read, target=what)
    return cases


def _bounded(
    source: Iterator[Case], signature: Signature, what: str, most: int, most_bytes: int
) -> Iterator[Case]:
    total = 0
    for index, given in enumerate(source):
        if index >= most:
            return
        case = _fitting(given, signature, what, index)
        total += nbytes(case)
        if total > most_bytes:
            return
        yield case


def _fitting(case: Any, signature: Signature, what: str, index: int) -> Case:
    if not isinstance(case, Case):
        expected = "an edgekit.tensors.Case was expected"
        raise _unfit(what, index, f"it is a {type(case).__name__}; {expected}")
    try:
        feed = conform(signature, case.feed)
        check_shapes(signature, feed)
    except InputError as error:
        raise _unfit(what, index, str(error)) from error
    try:
        label = None if case.label is None else operator.index(case.label)
    except TypeError as error:
        raise _unfit(
            what, index, f"its label is {case.label!r}; a class is a whole number"
        ) from error
    return Case(feed, label=label)


def _unfit(what: str, index: int, problem: str) -> FactoryFailed:
    return FactoryFailed(
        target=what, problem=f"doesn't fit the module at case {index}: {problem.rstrip('.')}"
    )


def _refuse_overlap(evaluation: list[Case], calibration: list[Case]) -> None:
    seen = {content_sha256(case.feed) for case in evaluation}
    if any(content_sha256(case.feed) in seen for case in calibration):
        raise BadValue(
            what="the calibration data",
            asked="partly the evaluation data",
            expected="cases that no accuracy is measured on",
        )
