"""How answers are judged."""

from __future__ import annotations

import pytest

from edgekit.budgets import Budget
from edgekit.measure.judging import judged_by
from edgekit.tensors import Case, Dataset, Dim, Signature, TensorSpec
from edgekit.terms import Metric

SCORES = (Dim("batch", 1, None), 3)


@pytest.mark.parametrize(
    ("label", "shape", "metric", "asked", "expected"),
    [
        (1, SCORES, "closeness", "cosine", "top1"),
        (None, SCORES, "closeness", "cosine", "closeness"),
        (None, SCORES, "closeness", "agreement", "agreement"),
        (None, SCORES[:1], "closeness", "agreement", "closeness"),
        (None, SCORES, "top1", "agreement", "top1"),
        (None, SCORES, "agreement", "cosine", "agreement"),
    ],
)
def test_labels_count_first_then_the_models_own_metric_then_what_is_asked(
    label: int | None,
    shape: tuple[Dim | int, ...],
    metric: Metric,
    asked: str,
    expected: Metric,
) -> None:
    signature = Signature(
        (TensorSpec("x", "float32", SCORES),), (TensorSpec("y", "float32", shape),)
    )
    dataset = Dataset("cases", "test", "0", 1, lambda: iter([Case({}, None, label)]))
    budget = Budget(asked, 0.9)  # type: ignore[arg-type]
    assert judged_by(dataset, signature, metric=metric, budgets=[budget]) == expected
