from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.errors import BadValue, EdgekitError, FactoryFailed
from edgekit.tensors import Case, Dim, Signature, TensorSpec
from exporters import data
from exporters.data import data_of, refuse_without_classes
from exporters.exportable import Exportable

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
