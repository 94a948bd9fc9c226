from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.errors import BadValue, EdgekitError, FactoryFailed, InputError
from edgekit.tensors import Case, Dim, Signature, TensorSpec
from exporters import data
from exporters.data import chosen_data, data_of, kept_notes, metric_of, refuse_without_classes
from exporters.exportable import Exportable
from exporters.requests import ExportOptions

SIGNATURE = Signature((TensorSpec("input", "float32", (Dim("n", 1, 8), 3)),), ())


def x(value: float, rows: int = 1) -> dict[str, Any]:
    return {"input": np.full((rows, 3), value, np.float32)}


def exportable(**given: Any) -> Exportable:
    return Exportable(nn.ReLU(), (torch.rand(2, 3),), **given)


def cases(*values: Any) -> Callable[[], Iterator[Any]]:
    return lambda: iter(values)


def test_cases_are_read_and_brought_into_the_model_s_form() -> None:
    read = data_of(
        exportable(
            evaluation=cases(
                Case(x(1), label=np.int64(3)),  # type: ignore[arg-type]
                Case({"input": [[1.0, 2.0, 3.0]]}),
                Case({"input": torch.ones(2, 3)}),
                Case({"input": np.ones((3, 1), np.float32).T}),
            ),
            calibration=cases(Case(x(2))),
        ),
        SIGNATURE,
    )
    assert [type(case.feed["input"]) for case in read.evaluation] == [np.ndarray] * 4
    assert all(case.feed["input"].flags.c_contiguous for case in read.evaluation)
    assert read.evaluation[0].label == 3
    assert type(read.evaluation[0].label) is int
    assert len(read.calibration) == 1


def refilled() -> Iterator[Case]:
    array = np.zeros((1, 3), np.float32)
    for i in range(3):
        array[:] = i
        yield Case({"input": array})


def test_cases_may_share_an_array_that_is_filled_anew() -> None:
    read = data_of(exportable(calibration=refilled), SIGNATURE)
    assert [float(case.feed["input"][0, 0]) for case in read.calibration] == [0.0, 1.0, 2.0]


def test_there_need_be_no_cases() -> None:
    assert data_of(exportable(), SIGNATURE) == ([], [])


def fails() -> Iterator[Case]:
    yield Case(x(1))
    raise OSError("the folder is gone")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (cases(Case(x(1)), (1, 2)), "case 1: it is a tuple; an edgekit.tensors.Case was expected"),
        (cases(Case({"image": 1})), "at case 0: There is no input 'image'; expected: input"),
        (cases(Case({})), "at case 0: The input 'input' is missing"),
        (cases(Case({"input": np.zeros((1, 3))})), "input has dtype float64 and the model takes"),
        (cases(Case({"input": np.zeros((1, 4), np.float32)})), "Axis 1 of input has size 4"),
        (cases(Case({"input": np.zeros(3, np.float32)})), "input has 1 dimensions"),
        (cases(Case(x(np.nan))), "input is NaN or infinite in 3 of 3 elements"),
        (cases(Case(x(1, rows=9))), "Axis 0 of input has size 9 and the model takes n:1..8"),
        (cases(Case(x(1), label="3")), "its label is '3'; a class is a whole number"),  # type: ignore[arg-type]
        (cases(Case(x(1), label=3.0)), "its label is 3.0; a class is a whole number"),  # type: ignore[arg-type]
        (fails, r"raised OSError: the folder is gone \(at .*test_data\.py:\d+\)"),
        (lambda: 3, "raised TypeError: 'int' object is not iterable"),
    ],
)
@pytest.mark.parametrize("part", ["evaluation", "calibration"])
def test_a_case_that_does_not_fit_is_one_sentence(
    part: str, given: Callable[[], Iterator[Case]], sentence: str
) -> None:
    with pytest.raises(FactoryFailed, match=f"The {part} data .*{sentence}"):
        data_of(exportable(**{part: given}), SIGNATURE)


def test_top1_needs_a_label_for_every_case() -> None:
    given = cases(Case(x(1), label=1), Case(x(2)))
    data_of(exportable(evaluation=given), SIGNATURE)
    with pytest.raises(FactoryFailed, match="at case 1: it has no label, and the metric is top1"):
        data_of(exportable(evaluation=given, metric="top1"), SIGNATURE)
    data_of(exportable(calibration=given, metric="top1"), SIGNATURE)


@pytest.mark.parametrize(
    ("outputs", "sentence"),
    [
        ({"y": np.zeros(3)}, "at case 0: Classes are read from an output .rows, classes"),
        ({"y": np.zeros((2, 3))}, "it has one label and the module gave 2 rows"),
        ({"y": np.zeros((1, 5, 3))}, "it has one label and the module gave 5 rows"),
    ],
)
def test_top1_needs_scores_to_read_a_class_from(outputs: dict[str, Any], sentence: str) -> None:
    refuse_without_classes([Case({}, {"y": np.zeros((1, 3))}, 1)])
    with pytest.raises(FactoryFailed, match=sentence):
        refuse_without_classes([Case({}, outputs, 1)])


def test_a_case_in_both_sets_is_refused() -> None:
    given = exportable(
        evaluation=cases(Case(x(1), label=1)), calibration=cases(Case(x(2)), Case(x(1)))
    )
    with pytest.raises(BadValue, match="calibration data cannot be partly the evaluation data"):
        data_of(given, SIGNATURE)


def test_a_row_of_a_batch_that_is_in_both_sets_is_refused() -> None:
    batch = {"input": np.arange(12, dtype=np.float32).reshape(4, 3)}
    single = {"input": batch["input"][2:3]}
    given = exportable(evaluation=cases(Case(single)), calibration=cases(Case(batch)))
    with pytest.raises(BadValue, match="1 of the 1 rows of cases are in both, the first in case 0"):
        data_of(given, SIGNATURE)


def test_given_data_take_the_place_of_the_module_s_own(tmp_path: Path) -> None:
    own = exportable(evaluation=cases(Case(x(1))), calibration=cases(Case(x(2))), dataset="digits")
    np.savez(tmp_path / "held.npz", input=np.full((5, 3), 3.0), label=np.arange(5))
    options = ExportOptions(eval_data="held.npz", data_folder=str(tmp_path))
    chosen = chosen_data(own, options, SIGNATURE)
    assert chosen.names == {"test": "cases of held.npz", "train": "digits"}
    read = data_of(chosen.exportable, SIGNATURE)
    assert [case.label for case in read.evaluation] == [0, 1, 2, 3, 4]
    assert [float(case.feed["input"].mean()) for case in read.calibration] == [2.0]
    untouched = chosen_data(own, ExportOptions(), SIGNATURE)
    assert untouched.exportable == own
    assert untouched.names == {"test": "digits", "train": "digits"}


def test_given_data_that_do_not_fit_are_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "train.npz", input=np.full((5, 4), 3.0))
    options = ExportOptions(calib_data="train.npz", data_folder=str(tmp_path))
    with pytest.raises(InputError, match=r"The calibration data train\.npz don't fit the model at"):
        chosen_data(exportable(), options, SIGNATURE)


@pytest.mark.parametrize(
    ("labels", "scores", "metric"),
    [
        ({"label": [0, 1]}, np.zeros((2, 2), np.float32), "top1"),
        ({"label": [0, 1]}, np.zeros((2, 7, 2), np.float32), "closeness"),
        ({"label": [0, 1]}, np.zeros((2, 2), np.int64), "closeness"),
        ({}, np.zeros((2, 2), np.float32), "closeness"),
    ],
)
def test_right_classes_are_counted_where_given_data_have_labels_for_them(
    labels: dict[str, Any], scores: Any, metric: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "held.npz", input=np.full((2, 3), 3.0), **labels)
    options = ExportOptions(eval_data="held.npz", data_folder=str(tmp_path))
    chosen = chosen_data(exportable(), options, SIGNATURE)
    read = data_of(chosen.exportable, SIGNATURE)
    assert metric_of(chosen, read.evaluation, {"y": scores}) == metric


def test_a_label_of_no_class_is_told_before_the_export(tmp_path: Path) -> None:
    given = exportable(evaluation=cases(Case(x(1), label=1), Case(x(2), label=4)), metric="top1")
    chosen = chosen_data(given, ExportOptions(), SIGNATURE)
    read = data_of(given, SIGNATURE)
    with pytest.raises(FactoryFailed, match="at case 1: its label is 4, and the module scores the"):
        metric_of(chosen, read.evaluation, {"y": np.zeros((2, 4), np.float32)})


def test_cases_that_a_package_does_not_keep_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "EVALUATION_CASES", 2)
    np.savez(tmp_path / "held.npz", input=np.full((5, 3), 3.0))
    options = ExportOptions(eval_data="held.npz", data_folder=str(tmp_path))
    chosen = chosen_data(exportable(calibration=cases(Case(x(2)))), options, SIGNATURE)
    read = data_of(chosen.exportable, SIGNATURE)
    assert kept_notes(chosen, read) == ["the package keeps the first 2 of 5 evaluation cases"]


def test_only_so_many_cases_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless() -> Iterator[Case]:
        value = 0
        while True:
            value += 1
            yield Case(x(value))

    monkeypatch.setattr(data, "EVALUATION_CASES", 5)
    assert len(data_of(exportable(evaluation=endless), SIGNATURE).evaluation) == 5
    monkeypatch.setattr(data, "EVALUATION_BYTES", 3 * 12)
    assert len(data_of(exportable(evaluation=endless), SIGNATURE).evaluation) == 3


def test_errors_of_edgekit_inside_the_data_stay_what_they_are() -> None:
    def lacking() -> Iterator[Case]:
        raise EdgekitError("The MNIST digits are missing.")
        yield

    with pytest.raises(EdgekitError, match="The MNIST digits are missing"):
        data_of(exportable(evaluation=lacking), SIGNATURE)
