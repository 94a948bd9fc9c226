from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from edgekit import intervals, machine
from edgekit.errors import InputError
from edgekit.intervals import Changes
from edgekit.measure.quality import closeness_of, furthest, measure_quality
from edgekit.metrics import Closeness, wilson
from edgekit.tensors import Case, Dataset


def dataset(cases: Sequence[Case], *, synthetic: bool = False) -> Dataset:
    return Dataset("digits", "test", "0" * 64, len(cases), lambda: iter(cases), synthetic)


def scores(*classes: int, of: int = 3) -> dict[str, Any]:
    """One output whose rows name the given classes."""
    return {"y": np.eye(of, dtype=np.float32)[list(classes)]}


def case(label: int | None, outputs: dict[str, Any] | None = None) -> Case:
    return Case({"x": np.zeros((1, 2), np.float32)}, outputs, label)


def test_accuracy_counts_right_classes_with_wilsons_interval() -> None:
    cases = [case(0), case(1), case(2), case(2)]
    answers = [scores(0), scores(1), scores(2), scores(1)]
    quality = measure_quality(answers, dataset(cases), metric="top1", output="y")
    assert quality.accuracy == wilson(3, 4)
    assert (quality.agreement, quality.closeness) == (None, None)
    assert (quality.dataset, quality.cases, quality.synthetic) == ("digits", 4, False)
    assert quality.accuracy_key == machine.accuracy_key(machine.describe())


def test_agreement_counts_the_originals_classes_right_or_wrong() -> None:
    cases = [case(0)] * 3
    original = [scores(1), scores(1), scores(0)]
    answers = [scores(1), scores(2), scores(0)]
    quality = measure_quality(answers, dataset(cases), metric="top1", output="y", original=original)
    assert quality.agreement == wilson(2, 3)
    assert quality.accuracy == wilson(1, 3)
    assert quality.closeness is not None
    assert quality.closeness.max_abs_error == 1.0


def test_recorded_outputs_stand_for_an_original_that_is_not_given() -> None:
    cases = [case(0, scores(0)), case(0, scores(1))]
    quality = measure_quality([scores(0)] * 2, dataset(cases), metric="top1", output="y")
    assert quality.agreement == wilson(1, 2)


def test_accuracy_is_over_the_labelled_cases_alone() -> None:
    cases = [case(0), case(None), case(1)]
    answers = [scores(0), scores(2), scores(2)]
    quality = measure_quality(answers, dataset(cases), metric="top1", output="y")
    assert quality.accuracy == wilson(1, 2)
    assert quality.cases == 3


def test_without_labels_there_is_no_accuracy() -> None:
    quality = measure_quality([scores(0)], dataset([case(None)]), metric="top1", output="y")
    assert quality.accuracy is None


def test_agreement_needs_every_case_compared() -> None:
    cases = [case(0, scores(0)), case(0)]
    quality = measure_quality([scores(0)] * 2, dataset(cases), metric="top1", output="y")
    assert quality.agreement is None


def test_a_label_says_nothing_of_a_case_with_many_classes() -> None:
    cases = [case(0, scores(0, 1, 2)), case(0, scores(0, 0, 0))]
    answers = [scores(0, 1, 1), scores(0, 0, 0)]
    quality = measure_quality(answers, dataset(cases), metric="top1", output="y")
    assert quality.accuracy is None
    assert quality.agreement == wilson(5, 6)


def test_sequences_of_several_lengths_are_compared_position_by_position() -> None:
    recorded = [{"y": scores(0, 1)["y"][None]}, {"y": scores(2)["y"][None]}]
    cases = [case(None, outputs) for outputs in recorded]
    quality = measure_quality(recorded, dataset(cases), metric="top1", output="y")
    assert quality.agreement == wilson(3, 3)


def test_classes_are_read_from_the_named_output_whatever_the_order() -> None:
    aux = np.array([[9.0, 0.0, 0.0]])
    cases = [case(2, {"aux": aux, "y": scores(2)["y"]})]  # sorted, as a file of cases has them
    answers = [{"aux": aux, "y": scores(2)["y"]}]
    quality = measure_quality(answers, dataset(cases), metric="top1", output="y")
    assert quality.accuracy == quality.agreement == wilson(1, 1)


def test_metric_closeness_counts_no_classes() -> None:
    got, wanted = {"y": np.array([1.0, 2.0])}, {"y": np.array([1.0, 2.5])}
    quality = measure_quality([got], dataset([case(0, wanted)]), metric="closeness", output="y")
    assert (quality.accuracy, quality.agreement) == (None, None)
    assert quality.closeness is not None
    assert quality.closeness.max_abs_error == 0.5


def test_closeness_is_the_furthest_of_all_cases_and_outputs() -> None:
    near, far = {"y": np.ones(2), "z": np.ones(2)}, {"y": np.ones(2), "z": np.array([1.0, 4.0])}
    cases = [case(None, near), case(None, near)]
    quality = measure_quality([far, near], dataset(cases), metric="closeness", output="y")
    assert quality.closeness == closeness_of(far, near)
    assert quality.closeness is not None
    assert quality.closeness.max_abs_error == 3.0


def test_closeness_of_an_answer_that_lacks_an_output_is_refused() -> None:
    with pytest.raises(InputError, match="no output z"):
        closeness_of({"y": np.ones(2)}, {"y": np.ones(2), "z": np.ones(2)})


def test_furthest_takes_the_worse_figure_of_each_and_none_for_no_noise() -> None:
    exact = Closeness(0.0, 0.0, 1.0, None)
    near, far = Closeness(1.0, 3.0, 0.9, 40.0), Closeness(2.0, 1.0, 0.8, 50.0)
    assert furthest(exact, None) == exact == furthest(exact, exact)
    assert furthest(exact, near) == furthest(near, exact) == near
    assert furthest(near, far) == Closeness(2.0, 3.0, 0.8, 40.0)


def test_synthetic_cases_are_called_so() -> None:
    quality = measure_quality(
        [scores(0)], dataset([case(0)], synthetic=True), metric="top1", output="y"
    )
    assert quality.synthetic


def test_a_random_output_is_compared_by_its_shape_alone() -> None:
    near = {"y": np.array([[1.0, 2.0]]), "noise": np.array([[5.0, 6.0]])}
    far = {"y": np.array([[1.0, 2.5]]), "noise": np.array([[-9.0, 3.0]])}
    found = closeness_of(far, near, random={"noise"})
    assert found is not None
    assert found.max_abs_error == 0.5
    assert closeness_of(far, near, random={"y", "noise"}) is None
    with pytest.raises(InputError, match=r"another output noise: it is float64 \[1\] and should"):
        closeness_of({**far, "noise": np.ones(1)}, near, random={"noise"})


def test_classes_are_not_read_from_a_random_output() -> None:
    cases = [case(0, scores(0))]
    quality = measure_quality([scores(0)], dataset(cases), metric="top1", output="y", random={"y"})
    assert (quality.accuracy, quality.agreement, quality.closeness) == (None, None, None)
    assert quality.cases == 1


def test_changes_count_what_became_wrong_and_what_became_right() -> None:
    # The original is right, right, wrong, wrong, right; the last case has no label.
    cases = [case(0), case(1), case(2), case(2), case(0), case(None)]
    original = [scores(0), scores(1), scores(0), scores(1), scores(0), scores(1)]
    answers = [scores(0), scores(2), scores(2), scores(0), scores(1), scores(2)]
    quality = measure_quality(answers, dataset(cases), metric="top1", output="y", original=original)
    assert quality.changes == Changes(cases=5, harmful=2, helpful=1)
    assert quality.drop == intervals.drop(Changes(5, 2, 1))
    assert quality.kept_agreement == intervals.share(1, 6)
    assert quality.accuracy == wilson(2, 5)


def test_a_class_that_is_unknown_is_never_right() -> None:
    answer = {"y": np.array([[np.nan, 1.0, 0.0]], np.float32)}
    quality = measure_quality(
        [answer], dataset([case(1)]), metric="top1", output="y", original=[scores(1)]
    )
    assert quality.changes == Changes(1, 1, 0)
    assert quality.kept_agreement == intervals.share(0, 1)


def test_nothing_is_paired_where_no_answer_of_the_original_is_known() -> None:
    quality = measure_quality([scores(0)], dataset([case(0)]), metric="top1", output="y")
    assert (quality.drop, quality.changes, quality.kept_agreement, quality.cosine) == (None,) * 4


def test_agreement_is_counted_without_labels_and_labels_are_then_left_alone() -> None:
    cases = [case(0), case(1)]
    original = [scores(0), scores(2)]
    quality = measure_quality(
        [scores(0)] * 2, dataset(cases), metric="agreement", output="y", original=original
    )
    assert quality.agreement == wilson(1, 2)
    assert quality.kept_agreement == intervals.share(1, 2)
    assert (quality.accuracy, quality.drop) == (None, None)


def test_positions_of_a_sequence_do_not_count_as_cases_of_their_own() -> None:
    cases = [case(None)] * 3
    original = [scores(0, 1, 2, 0)] * 3
    answers = [scores(0, 1, 2, 0), scores(0, 1, 2, 1), scores(0, 1, 2, 0)]
    quality = measure_quality(answers, dataset(cases), metric="top1", output="y", original=original)
    assert quality.agreement == wilson(11, 12)
    assert quality.agreements == intervals.spread([1.0, 0.75, 1.0])
    assert quality.kept_agreement == intervals.mean(intervals.spread([1.0, 0.75, 1.0]), least=0.0)
    assert quality.kept_agreement is not None
    assert quality.kept_agreement.low < intervals.share(11, 12).low


def test_the_cosine_is_a_mean_over_the_cases_of_the_lowest_output() -> None:
    x = np.array([[1.0, 0.0]], np.float32)
    turned = np.array([[1.0, 1.0]], np.float32)
    original = [{"y": x, "z": x}] * 2
    answers = [{"y": x, "z": x}, {"y": x, "z": turned}]
    quality = measure_quality(
        answers, dataset([case(None)] * 2), metric="closeness", output="y", original=original
    )
    assert quality.cosines is not None
    assert quality.cosines.lowest == pytest.approx(0.5**0.5)
    assert quality.cosine is not None
    assert quality.cosine.value == pytest.approx((1 + 0.5**0.5) / 2)
    assert quality.closeness is not None
    assert quality.closeness.cosine == pytest.approx(0.5**0.5)
