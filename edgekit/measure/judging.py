"""How answers are judged, given the cases, the model, and what will be asked of the figures."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.budgets import Budget
from edgekit.data import metric_for
from edgekit.tensors import Dataset, Signature
from edgekit.terms import BudgetMetric, Metric


def judged_by(
    dataset: Dataset, signature: Signature, *, metric: Metric, budgets: Sequence[Budget] = ()
) -> Metric:
    """Say how answers are judged: by right classes where there are labels, by the model's own
    metric, and by classes where a budget asks for agreement and the first output can hold scores.

    Args:
        dataset: the cases.
        signature: the model's.
        metric: the model's own.
        budgets: what will be asked of the figures.
    """
    found = metric_for(dataset, signature, metric=metric)
    asked: set[BudgetMetric] = {budget.metric for budget in budgets}
    if found == "closeness" and "agreement" in asked and len(signature.outputs[0].shape) > 1:
        return "agreement"
    return found
