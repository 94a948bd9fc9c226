"""Budgets: how they are said, and what they say of a candidate."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgekit import intervals
from edgekit.budgets import (
    Budget,
    accepted,
    available,
    judge,
    judge_all,
    parse_agreement,
    parse_cosine,
    parse_drop,
    refuse_unavailable,
)
from edgekit.errors import BadValue
from edgekit.intervals import Changes
from edgekit.measure.results import Quality
from edgekit.tensors import Case, Dataset
from edgekit.terms import Metric


def of_drop(cases: int, harmful: int, helpful: int = 0, *, synthetic: bool = False) -> Quality:
    changes = Changes(cases, harmful, helpful)
    return Quality(
        "digits", cases, "here", synthetic=synthetic, drop=intervals.drop(changes), changes=changes
    )


def of_agreement(same: int, cases: int) -> Quality:
    return Quality("digits", cases, "here", kept_agreement=intervals.share(same, cases))


def of_cosines(*cosines: float) -> Quality:
    spread = intervals.spread(cosines)
    return Quality("cases", len(cosines), "here", cosine=intervals.mean(spread), cosines=spread)


@pytest.mark.parametrize(
    ("text", "limit"), [("0.5pp", 0.005), (" 1 PP ", 0.01), ("0pp", 0.0), (".25pp", 0.0025)]
)
def test_a_drop_is_said_in_percentage_points(text: str, limit: float) -> None:
    budget = parse_drop(text)
    assert budget.metric == "drop"
    assert budget.limit == pytest.approx(limit)


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("0.5%", "0.5pp"),
        ("0.5", "0.5pp"),
        ("2 %", "2pp"),
        ("much", "0.5pp"),
        ("-1pp", "0.5pp"),
        ("101pp", "0.5pp"),
        ("300", "0.5pp"),
        ("", "0.5pp"),
        ("nanpp", "0.5pp"),
    ],
)
def test_a_drop_in_other_words_is_refused_with_what_to_type(text: str, typed: str) -> None:
    with pytest.raises(BadValue, match=rf"--max-drop cannot be '{text}': .* --max-drop {typed}\."):
        parse_drop(text)


@pytest.mark.parametrize(
    ("text", "limit"), [("99%", 0.99), ("0.99", 0.99), ("100 %", 1.0), ("1", 1.0), ("99.5%", 0.995)]
)
def test_an_agreement_is_a_share(text: str, limit: float) -> None:
    budget = parse_agreement(text)
    assert budget.metric == "agreement"
    assert budget.limit == pytest.approx(limit)


@pytest.mark.parametrize(
    ("text", "typed"),
    [("99", "99% or 0.99"), ("1.5", "1.5% or 0.015"), ("101%", "99% or 0.99"), ("0.5pp", "99%")],
)
def test_an_agreement_in_other_words_is_refused_with_what_to_type(text: str, typed: str) -> None:
    with pytest.raises(BadValue, match=f"expected a share: --min-agreement {typed}"):
        parse_agreement(text)


def test_a_cosine_is_a_number() -> None:
    assert parse_cosine("0.999") == Budget("cosine", 0.999)
    for text in ("99.9%", "1.1", "-0.5", "high", "nan"):
        with pytest.raises(BadValue, match=r"a number from 0 to 1: --min-cosine 0\.999"):
            parse_cosine(text)


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (Budget("drop", 0.005), "a drop of at most 0.5 pp"),
        (Budget("agreement", 0.99), "an agreement of at least 99 %"),
        (Budget("cosine", 0.999), "a cosine of at least 0.999"),
    ],
)
def test_a_budget_says_what_it_allows(budget: Budget, said: str) -> None:
    assert str(budget) == said


@pytest.mark.parametrize(
    ("quality", "budget", "ruling", "needed"),
    [
        (of_drop(1500, 0), Budget("drop", 0.005), "passed", None),
        (of_drop(1500, 1), Budget("drop", 0.005), "passed", None),
        (of_drop(1500, 40), Budget("drop", 0.005), "failed", None),
        (of_drop(1500, 3), Budget("drop", 0.005), "undecided", 1561),
        (of_drop(300, 0), Budget("drop", 0.005), "undecided", 599),
        (of_drop(200, 1), Budget("drop", 0.005), "undecided", None),
        (of_drop(1500, 0, 20), Budget("drop", 0.0), "passed", None),
        (of_agreement(1500, 1500), Budget("agreement", 0.99), "passed", None),
        (of_agreement(100, 100), Budget("agreement", 0.99), "undecided", 299),
        (of_agreement(900, 1000), Budget("agreement", 0.99), "failed", None),
        (of_agreement(99, 100), Budget("agreement", 0.99), "undecided", None),
        (of_cosines(*[0.9999, 0.9998, 0.9997] * 5), Budget("cosine", 0.999), "passed", None),
        (of_cosines(*[0.9, 0.91, 0.92] * 5), Budget("cosine", 0.999), "failed", None),
        (of_cosines(0.9999, 0.992, 0.99999), Budget("cosine", 0.999), "undecided", 22),
        (of_cosines(1.0), Budget("cosine", 0.999), "undecided", 2),
    ],
)
def test_a_budget_is_passed_failed_or_undecided(
    quality: Quality, budget: Budget, ruling: str, needed: int | None
) -> None:
    verdict = judge(budget, quality)
    assert verdict.ruling == ruling
    if needed is None:
        assert verdict.samples_needed is None
    else:
        assert verdict.samples_needed == pytest.approx(needed, rel=0.03)


@pytest.mark.parametrize(
    ("quality", "budget", "sentence"),
    [
        (
            of_drop(1500, 1),
            Budget("drop", 0.005),
            "a drop of at most 0.5 pp is kept: 0.07 pp of 1,500 digits, and at most 0.32 pp with "
            "95 %",
        ),
        (
            of_drop(1500, 40),
            Budget("drop", 0.005),
            "a drop of at most 0.5 pp is broken: 2.67 pp of 1,500 digits, and at least 2.02 pp "
            "with 95 %",
        ),
        (
            of_agreement(100, 100),
            Budget("agreement", 0.99),
            "an agreement of at least 99 % is undecided: 100.00 % of 100 digits, and at least "
            "97.05 % with 95 %; about 299 samples like these would decide it",
        ),
        (
            of_drop(200, 1, synthetic=True),
            Budget("drop", 0.005),
            "a drop of at most 0.5 pp is undecided: 0.50 pp of 200 made-up digits, and at most "
            "2.35 pp with 95 %; no number of samples like these would decide it, so near the limit "
            "do they lie",
        ),
    ],
)
def test_a_verdict_says_what_it_rests_on(quality: Quality, budget: Budget, sentence: str) -> None:
    assert judge(budget, quality).sentence == sentence


def test_a_number_is_written_so_that_it_is_on_its_side_of_the_limit() -> None:
    # 0.50004 pp and not 0.50, which would keep the limit.
    quality = of_drop(1500, 3)
    assert quality.drop is not None
    limit = quality.drop.high - 2e-7
    verdict = judge(Budget("drop", limit), quality)
    assert verdict.ruling == "undecided"
    written = float(verdict.sentence.partition("at most ")[2].partition("at most ")[2].split()[0])
    assert written > 100 * limit


@pytest.mark.parametrize(
    ("quality", "there", "asked", "expected"),
    [
        (of_agreement(9, 10), ("agreement",), "drop", "--min-agreement 99%"),
        (of_cosines(1.0, 1.0), ("cosine",), "agreement", "--min-cosine 0.999"),
        (Quality("cases", 3, "here"), (), "cosine", "give others with --eval-data"),
    ],
)
def test_a_budget_that_cannot_be_had_says_which_can(
    quality: Quality, there: tuple[str, ...], asked: str, expected: str
) -> None:
    assert available(quality) == there
    with pytest.raises(BadValue, match=f"which needs .*: expected .*{expected}"):
        judge(Budget(asked, 0.5), quality)  # type: ignore[arg-type]


@pytest.fixture
def cases() -> Callable[[int | None], Dataset]:
    def make(label: int | None) -> Dataset:
        return Dataset("digits", "test", "0", 1, lambda: iter([Case({}, None, label)]))

    return make


@pytest.mark.parametrize(
    ("metric", "label", "refused"),
    [
        ("top1", 3, set()),
        ("top1", None, {"drop"}),
        ("agreement", 3, {"drop"}),
        ("closeness", 3, {"drop", "agreement"}),
    ],
)
def test_a_budget_is_refused_before_anything_long_starts(
    metric: Metric, label: int | None, refused: set[str], cases: Callable[[int | None], Dataset]
) -> None:
    for budget in (Budget("drop", 0.1), Budget("agreement", 0.9), Budget("cosine", 0.9)):
        if budget.metric in refused:
            with pytest.raises(BadValue, match=r"--min-cosine 0\.999"):
                refuse_unavailable([budget], cases(label), metric=metric)
        else:
            refuse_unavailable([budget], cases(label), metric=metric)


def test_undecided_is_refused_unless_it_is_accepted() -> None:
    quality = of_drop(300, 0)
    budgets = [Budget("drop", 0.005), Budget("drop", 0.5)]
    verdicts = judge_all(budgets, quality)
    assert [verdict.ruling for verdict in verdicts] == ["undecided", "passed"]
    assert not accepted(verdicts)
    assert accepted(verdicts, undecided="accept")
    assert accepted(())
    failed = judge_all([Budget("drop", 0.0)], of_drop(300, 200))
    assert not accepted(failed, undecided="accept")
