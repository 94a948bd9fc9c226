"""How good a candidate's answers are, on cases that neither training nor calibration has seen."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from edgekit import intervals, machine
from edgekit.errors import InputError
from edgekit.intervals import Changes
from edgekit.measure.results import Quality
from edgekit.metrics import Closeness, closeness, other_form, predictions, wilson
from edgekit.tensors import Array, Case, Dataset
from edgekit.terms import Metric


class Tally:
    """Counts one candidate's answers, a case at a time, so that no answer need be kept.

    Args:
        evaluation: where the cases come from; they are added one by one.
        metric: "closeness" measures distance alone; the others count classes as well.
        output: the output whose last axis holds the scores of the classes.
        random: outputs that are compared by shape alone, and name no class.
    """

    def __init__(
        self,
        evaluation: Dataset,
        *,
        metric: Metric,
        output: str,
        random: Collection[str] = (),
    ) -> None:
        self._evaluation = evaluation
        self._classes = metric != "closeness" and output not in random
        self._labels = metric == "top1"
        self._output = output
        self._random = random
        self._cases = 0
        self._furthest: Closeness | None = None
        self._cosines: list[float] = []
        self._labelled, self._right = 0, 0
        self._paired, self._harmful, self._helpful = 0, 0, 0
        self._named, self._same = 0, 0
        self._agreed: list[float] = []

    def add(
        self, case: Case, answer: Mapping[str, Array], *, original: Mapping[str, Array] | None
    ) -> None:
        """Count the answer to one case; `original` is what it is compared with, where known."""
        self._cases += 1
        if original:
            distance = closeness_of(answer, original, random=self._random)
            if distance is not None:
                self._furthest = furthest(distance, self._furthest)
                self._cosines.append(distance.cosine)
        if not self._classes:
            return
        classes = predictions(answer[self._output]).reshape(-1)
        expected = None
        if original and self._output in original:
            expected = predictions(original[self._output]).reshape(-1)
            same = int(np.count_nonzero((classes == expected) & (classes >= 0)))
            self._named += classes.size
            self._same += same
            self._agreed.append(same / classes.size if classes.size else 1.0)
        if self._labels and case.label is not None and classes.size == 1:
            # A label names one class: where a case has many (a sequence), it says of none.
            right = int(classes[0]) == case.label
            self._labelled += 1
            self._right += right
            if expected is not None:
                was_right = int(expected[0]) == case.label
                self._paired += 1
                self._harmful += was_right and not right
                self._helpful += right and not was_right

    def quality(self) -> Quality:
        """Sum up: accuracy over the labelled cases, agreement where every case was compared.

        In a case of many classes (a sequence) each position counts in the agreement.
        """
        complete = self._cases > 0 and len(self._agreed) == self._cases
        one_each = self._named == len(self._agreed)
        changes = Changes(self._paired, self._harmful, self._helpful) if self._paired else None
        agreements = intervals.spread(self._agreed) if complete and not one_each else None
        cosines = intervals.spread(self._cosines) if self._cosines else None
        kept = None
        if complete:
            kept = (
                intervals.share(self._same, self._named)
                if agreements is None
                else intervals.mean(agreements, least=0.0)
            )
        return Quality(
            dataset=self._evaluation.name,
            cases=self._cases,
            accuracy_key=machine.accuracy_key(machine.describe()),
            synthetic=self._evaluation.synthetic,
            closeness=self._furthest,
            accuracy=wilson(self._right, self._labelled) if self._labelled else None,
            agreement=wilson(self._same, self._named) if complete else None,
            drop=None if changes is None else intervals.drop(changes),
            kept_agreement=kept,
            cosine=None if cosines is None else intervals.mean(cosines),
            changes=changes,
            agreements=agreements,
            cosines=cosines,
        )


def measure_quality(
    answers: Sequence[Mapping[str, Array]],
    evaluation: Dataset,
    *,
    metric: Metric,
    output: str,
    original: Sequence[Mapping[str, Array]] | None = None,
    random: Collection[str] = (),
) -> Quality:
    """Judge answers against the labels and against the original's answers.

    Args:
        answers: one for each case of `evaluation`, in order.
        evaluation: the cases; their recorded outputs stand for the original where it didn't run.
        metric: "closeness" measures distance alone; the others count classes as well.
        output: the output whose last axis holds the scores of the classes.
        original: the original's answers to the same cases.
        random: outputs that are compared by shape alone, and name no class.
    """
    tally = Tally(evaluation, metric=metric, output=output, random=random)
    for index, case in enumerate(evaluation.open()):
        tally.add(
            case, answers[index], original=original[index] if original is not None else case.outputs
        )
    return tally.quality()


def closeness_of(
    got: Mapping[str, Array], expected: Mapping[str, Array], *, random: Collection[str] = ()
) -> Closeness | None:
    """Measure all outputs of one answer, and return the furthest; None where all are random.

    Raises:
        InputError: an output is missing, or has another shape.
    """
    found: Closeness | None = None
    for name, array in expected.items():
        if name not in got:
            raise InputError(problem=f"The answer has no output {name}, only {', '.join(got)}.")
        if name not in random:
            found = furthest(closeness(got[name], array), found)
        elif off := other_form(got[name], array):
            raise InputError(problem=f"The answer has another output {name}: {off}.")
    return found


def furthest(one: Closeness, other: Closeness | None) -> Closeness:
    """Take the worse of two distances, figure by figure."""
    if other is None:
        return one
    noises = [c.sqnr_db for c in (one, other) if c.sqnr_db is not None]
    return Closeness(
        max_abs_error=max(one.max_abs_error, other.max_abs_error),
        max_rel_error=max(one.max_rel_error, other.max_rel_error),
        cosine=min(one.cosine, other.cosine),
        sqnr_db=min(noises, default=None),
    )
