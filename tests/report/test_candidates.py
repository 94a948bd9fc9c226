"""Candidates of a bench and of a tuning in one form, and which of them are worth having."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from edgekit.measure.results import BenchReport, Quality
from edgekit.metrics import Estimate
from edgekit.report.candidates import Candidate, of_bench, of_tuned, worth
from edgekit.tune.results import Tuned


def test_what_loses_in_both_is_off_the_front(tuned: Tuned) -> None:
    fp32, int8, over, failed = of_tuned(tuned)
    assert (fp32.on_front, int8.on_front) == (True, True)
    # Faster than all, and outside the budget: that is no place on the front.
    assert (over.on_front, over.inside) == (False, False)
    assert (failed.on_front, failed.p50_ms) == (False, None)
    slower = msgspec.structs.replace(tuned.tried[1], label="slow", p50_ms=tuned.tried[0].p50_ms)
    beaten = of_tuned(msgspec.structs.replace(tuned, tried=(*tuned.tried, slower)))[-1]
    assert not beaten.on_front


def test_an_original_is_not_compared_with_itself(
    bench_report: Callable[..., BenchReport],
) -> None:
    eager, fp32 = of_bench(bench_report())
    assert eager.quality is not None
    assert fp32.quality is not None
    assert (eager.is_original, fp32.is_original) == (True, False)
    assert eager.quality.accuracy is not None
    assert eager.quality.agreement is None
    assert fp32.quality.agreement is not None


@pytest.mark.parametrize(
    ("field", "measure", "percent"),
    [
        ("accuracy", "accuracy", True),
        ("kept_agreement", "agreement with the original", True),
        ("cosine", "cosine to the original's answers", False),
    ],
)
def test_what_is_known_is_what_they_are_compared_by(
    field: str, measure: str, percent: bool
) -> None:
    value = Estimate(0.9, 0.8, 0.95, 100, "")
    quality = Quality("cases", 100, "key")
    found = worth(
        [
            Candidate("original", None, None, quality, None, is_original=True),
            Candidate("int8", None, None, msgspec.structs.replace(quality, **{field: value}), None),
        ]
    )
    assert found is not None
    assert (found.measure, found.percent, found.of["int8"]) == (measure, percent, value)
    # The original keeps all of its own answers; whether they are right is another question.
    assert ("original" in found.of) == (field != "accuracy")


def test_without_quality_there_is_nothing_to_compare() -> None:
    assert worth([Candidate("int8", None, None, None, None)]) is None
