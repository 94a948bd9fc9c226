"""How good a candidate's answers are, on cases that neither training nor calibration has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from edgekit import machine
from edgekit.measure.results import Quality
from edgekit.metrics import Closeness, accuracy, agreement, closeness, predictions
from edgekit.tensors import Array, Dataset
from edgekit.terms import Metric


def measure_quality(
    answers: Sequence[Mapping[str, Array]],
    evaluation: Dataset,
    *,
    metric: Metric,
    original: Sequence[Mapping[str, Array]] | None = None,
) -> Quality:
    """Judge answers against the labels and against the original's answers.

    Args:
        answers: one for each case of `evaluation`, in order.
        evaluation: the cases; their recorded outputs stand for the original where it didn't run.
        metric: "top1" counts right classes of the first output; "closeness" measures distance.
        original: the original's answers to the same cases; None for those of the original itself.
    """
    cases = list(evaluation.open())
    expected = original if original is not None else [case.outputs or {} for case in cases]
    pairs = [(got, wanted) for got, wanted in zip(answers, expected, strict=True) if wanted]
    quality = Quality(
        dataset=evaluation.name,
        cases=len(cases),
        accuracy_key=machine.accuracy_key(machine.describe()),
        synthetic=evaluation.synthetic,
        closeness=_worst([closeness_of(got, wanted) for got, wanted in pairs]),
    )
    if metric != "top1":
        return quality
    classes = _classes(answers)
    labels = [case.label for case in cases if case.label is not None]
    return msgspec.structs.replace(
        quality,
        accuracy=accuracy(classes, labels) if len(labels) == len(classes) else None,
        agreement=agreement(classes, _classes(expected)) if len(pairs) == len(cases) else None,
    )


def closeness_of(got: Mapping[str, Array], expected: Mapping[str, Array]) -> Closeness:
    """Measure all outputs of one answer, and return the furthest."""
    found = _worst([closeness(got[name], array) for name, array in expected.items()])
    assert found is not None
    return found


def _worst(found: Sequence[Closeness]) -> Closeness | None:
    if not found:
        return None
    noises = [c.sqnr_db for c in found if c.sqnr_db is not None]
    return Closeness(
        max_abs_error=max(c.max_abs_error for c in found),
        max_rel_error=max(c.max_rel_error for c in found),
        cosine=min(c.cosine for c in found),
        sqnr_db=min(noises, default=None),
    )


def _classes(answers: Sequence[Mapping[str, Array]]) -> Array:
    import numpy as np

    return np.concatenate([predictions(dict(answer)).reshape(-1) for answer in answers])
