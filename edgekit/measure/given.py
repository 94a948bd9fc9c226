"""Data that a user gives for a measurement, and for a package that is made of an .onnx file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from edgekit.data import (
    labelled,
    metric_for,
    open_data,
    package_data,
    refuse_calibrated,
    refuse_overlap,
    repeats_note,
)
from edgekit.data.keeping import (
    CALIBRATION_BYTES,
    CALIBRATION_CASES,
    EVALUATION_BYTES,
    EVALUATION_CASES,
    first_of,
    kept_note,
)
from edgekit.errors import BadValue, InputError
from edgekit.measure.subjects import Subject
from edgekit.measure.ways import How, variant_call
from edgekit.package.values import SessionChoice, Variant
from edgekit.runtime.inputs import check_shapes
from edgekit.tensors import Case, Dataset
from edgekit.terms import Metric
from edgekit.workers import Worker


def given_evaluation(
    subjects: Sequence[Subject], *, eval_data: str | None, calib_data: str | None
) -> Dataset | None:
    """Open the cases that a bench is to measure on; None where the package's own are to be used.

    They fit every subject, and nothing was calibrated with any of them.

    Args:
        subjects: what is measured.
        eval_data: a source, as `edgekit.data.open_data` takes it.
        calib_data: what else was calibrated with, in the same form.

    Raises:
        BadValue: a row was calibrated with, or there is nothing to hold `calib_data` against.
        What `edgekit.data.open_data` raises.
    """
    first = subjects[0]
    given, own = None, None
    metric: Metric = first.package.metric if first.package is not None else "closeness"
    if eval_data is not None:
        given = open_data(eval_data, first.signature, split="test", metric=metric)
        _refuse_unfit(given, subjects[1:])
    elif first.package is not None and first.graph is not None:
        own = package_data(first.path, first.package, first.graph, split="test")
    measured_on = given or own
    if calib_data is not None:
        if measured_on is None:
            raise BadValue(
                what="--calib-data",
                asked=f"held against {first.path}, which has no evaluation data",
                expected="--eval-data beside it",
            )
        calibration = open_data(calib_data, first.signature, split="train")
        refuse_overlap(calibration, measured_on, signature=first.signature)
    for subject in subjects:
        if given is not None and subject.package is not None and subject.graph is not None:
            refuse_calibrated(subject.path, subject.package, subject.graph, evaluation=given)
    return given


class AdoptedCases(msgspec.Struct, frozen=True):
    """What a package of an .onnx file keeps of the data that were given with it."""

    evaluation: list[Case] = []
    calibration: list[Case] = []
    evaluation_name: str = ""
    calibration_name: str = ""
    metric: Metric = "closeness"
    notes: tuple[str, ...] = ()


def adopted_cases(
    model: Path, *, name: str, eval_data: str | None, calib_data: str | None, wall_s: float
) -> AdoptedCases:
    """Open the data that are given with an .onnx file, and record what the file answers to them.

    It is its own original, so it runs as it is stored, without ONNX Runtime's optimizations.

    Args:
        model: the .onnx file, its external data beside it.
        name: what to call it in errors.
        eval_data: a source of held-out cases, as `edgekit.data.open_data` takes it.
        calib_data: a source of cases to calibrate with.
        wall_s: how long loading it, or one run, may take.

    Raises:
        BadValue: a row is in both.
        What `edgekit.data.open_data` raises.
    """
    if eval_data is None and calib_data is None:
        return AdoptedCases()
    with Worker(name, wall_s=wall_s) as stored:
        as_stored = How(SessionChoice(graph_level="disabled"))
        signature = stored.open(variant_call(model, "portable", as_stored)).signature
        found = AdoptedCases()
        calibration = evaluation = None
        if calib_data is not None:
            calibration = open_data(calib_data, signature, split="train")
        if eval_data is not None:
            evaluation = open_data(eval_data, signature, split="test")
        if calibration is not None and evaluation is not None:
            refuse_overlap(calibration, evaluation, signature=signature)
        if calibration is not None:
            kept = list(
                first_of(calibration.open(), most=CALIBRATION_CASES, most_bytes=CALIBRATION_BYTES)
            )
            note = kept_note("calibration", kept=len(kept), given=calibration.cases)
            found = msgspec.structs.replace(
                found, calibration=kept, calibration_name=calibration.name, notes=tuple(note)
            )
        if evaluation is not None:
            answered = _answered(stored, evaluation)
            kept = list(first_of(answered, most=EVALUATION_CASES, most_bytes=EVALUATION_BYTES))
            note = kept_note("evaluation", kept=len(kept), given=evaluation.cases)
            found = msgspec.structs.replace(
                found,
                evaluation=kept,
                evaluation_name=evaluation.name,
                metric=metric_for(evaluation, signature, metric="closeness"),
                notes=(*found.notes, *note),
            )
    return found


def data_notes(evaluation: Dataset | None, *, given: bool) -> list[str]:
    """Say of a bench what its reader must know about the cases that quality was measured on.

    Args:
        evaluation: the cases; None where there are none.
        given: whether a user named them, in place of the package's own.
    """
    notes: list[str] = []
    if evaluation is not None and given:
        without = "" if labelled(evaluation) else ", which have no labels"
        notes.append(f"quality is measured on the given {evaluation.name}{without}")
    if evaluation is not None and evaluation.synthetic:
        notes.append("quality is measured on made-up values: real ones may be answered otherwise")
    if evaluation is not None and (repeated := repeats_note(evaluation)):
        notes.append(repeated)
    return notes


def made_up_notes(variants: Sequence[Variant]) -> list[str]:
    """Say of each variant whose ranges were read off made-up values that they were."""
    return [
        f"{variant.name} was made with made-up values: real ones may be answered worse; give some "
        "with edgekit quantize --calib-data"
        for variant in variants
        if calibrated_on_made_up(variant)
    ]


def calibrated_on_made_up(variant: Variant) -> bool:
    """Tell whether a variant's ranges were read off made-up values."""
    made = variant.recipe.calibration if variant.recipe is not None else None
    return made is not None and made.synthetic


def _answered(stored: Worker, evaluation: Dataset) -> Iterator[Case]:
    for case in evaluation.open():
        yield Case(case.feed, stored.run(case.feed).outputs, case.label)


def _refuse_unfit(evaluation: Dataset, others: Sequence[Subject]) -> None:
    for subject in others:
        for index, case in enumerate(evaluation.open()):
            try:
                check_shapes(subject.signature, case.feed)
            except InputError as error:
                raise InputError(
                    problem=f"{evaluation.name} don't fit {subject.path} at case {index}: {error}"
                ) from error
