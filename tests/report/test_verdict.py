"""What a report begins with, of whatever is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from edgekit.intervals import Changes, drop
from edgekit.measure.results import BenchReport, Quality
from edgekit.metrics import Estimate
from edgekit.report.evidence import Known
from edgekit.report.verdict import cost_in_words, headline


def quality(**facts: Any) -> Quality:
    return Quality("digits", 1500, "key", **facts)


def test_what_tuning_chose_is_said_with_its_interval_and_its_cost(known: Known) -> None:
    said = headline(known)
    assert said.sentence == (
        "int8-static · cpu · 1 thread is the fastest inside the budget: ×2.00 [1.90, 2.12] as fast "
        "as fp32 · cpu, at a drop in accuracy of 0.07 pp (at most 0.32 pp)."
    )
    assert said.more[:2] == (
        "Chosen: int8-static: int8-static is faster than float by more than noise.",
        "The budget is a drop of at most 0.5 pp.",
    )
    assert "In a bench beside it fp32 · cpu was the fastest, ×5.00 [5.00, 5.00] as fast as" in (
        " ".join(said.more)
    )
    assert [value for value, _ in said.figures] == ["×2.00", "0.0600 ms", "0.07 pp", "0.432 MB"]


def test_where_float_wins_nothing_is_claimed(known: Known) -> None:
    assert known.tuned is not None
    float_wins = [
        msgspec.structs.replace(t, outcome="chosen" if t.label == "fp32 · cpu" else "slower")
        for t in known.tuned.tried
    ]
    tuned = msgspec.structs.replace(known.tuned, tried=tuple(float_wins))
    said = headline(msgspec.structs.replace(known, tuned=tuned))
    assert said.sentence == (
        "fp32 · cpu is the fastest inside the budget: no other of 3 candidates beats it by more "
        "than noise."
    )
    assert said.figures[0] == ("0.120 ms", "p50 a call")


def test_a_search_that_was_stopped_says_so(known: Known) -> None:
    assert known.tuned is not None
    tuned = msgspec.structs.replace(known.tuned, finished=False, budgets=())
    more = headline(msgspec.structs.replace(known, tuned=tuned)).more
    assert "The search ended before everything was tried." in more
    assert "No budget was set." in more


def test_where_the_search_ended_too_early_float_is_not_said_to_win(known: Known) -> None:
    assert known.tuned is not None
    float_stays = [
        msgspec.structs.replace(t, outcome="chosen" if t.label == "fp32 · cpu" else "kept")
        for t in known.tuned.tried[:2]
    ]
    tuned = msgspec.structs.replace(known.tuned, tried=tuple(float_stays), finished=False)
    said = headline(msgspec.structs.replace(known, tuned=tuned))
    assert said.sentence == (
        "Nothing was chosen over fp32 · cpu: the search ended before the last race."
    )
    assert said.more[0] == (
        "Ahead was int8-static · cpu · 1 thread, ×2.00 [1.90, 2.12] as fast, at a drop in accuracy "
        "of 0.07 pp (at most 0.32 pp)."
    )


def test_a_tuning_without_a_race_leaves_the_word_to_the_bench(known: Known) -> None:
    assert known.tuned is not None
    untimed = [msgspec.structs.replace(one, p50_ms=None) for one in known.tuned.tried]
    tuned = msgspec.structs.replace(known.tuned, tried=tuple(untimed))
    said = headline(msgspec.structs.replace(known, tuned=tuned))
    assert said.sentence.startswith("fp32 · cpu is the fastest: ×5.00")


def test_a_bench_says_which_variant_is_the_fastest(
    bare: Known, bench_report: Callable[..., BenchReport]
) -> None:
    said = headline(msgspec.structs.replace(bare, benches=(bench_report(),)))
    assert said.sentence.startswith("fp32 · cpu is the fastest: ×5.00 [5.00, 5.00] as fast as PyTo")
    assert "'edgekit tune'" in said.more[-1]


def test_a_gain_inside_the_noise_is_none(
    bare: Known, bench_report: Callable[..., BenchReport]
) -> None:
    made = bench_report()
    eager, fp32 = made.rows
    fp32 = msgspec.structs.replace(fp32, speedup=Estimate(1.2, 0.9, 1.6, 5, "t"))
    made = msgspec.structs.replace(made, rows=[eager, fp32])
    said = headline(msgspec.structs.replace(bare, benches=(made,)))
    assert said.sentence == (
        "Nothing is faster than PyTorch eager by more than noise; the nearest is fp32 · cpu, at "
        "×1.20 [0.900, 1.60]."
    )
    assert said.figures[0][0] == "0.120 ms"


def test_a_row_whose_answers_are_off_is_not_praised(
    bare: Known, bench_report: Callable[..., BenchReport]
) -> None:
    made = bench_report()
    rows = [made.rows[0], msgspec.structs.replace(made.rows[1], mismatch="logits: off")]
    known = msgspec.structs.replace(bare, benches=(msgspec.structs.replace(made, rows=rows),))
    assert headline(known).sentence == "Nothing could be timed."


def test_less_is_said_of_less(bare: Known, known: Known) -> None:
    explained = headline(msgspec.structs.replace(bare, explained=known.explained))
    assert explained.sentence == "fp32 · cpu takes 0.0670 ms a call."
    ranked = headline(msgspec.structs.replace(bare, sensitivities=known.sensitivities))
    assert ranked.sentence == "What int8-static costs fp32 is known of each node."
    assert headline(bare).sentence == "Nothing was measured of cnn."


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "at a cost in accuracy that wasn't measured"),
        (quality(), "at a cost in accuracy that these cases can't tell"),
        (quality(drop=drop(Changes(1500, 0, 0))), "at no drop in accuracy (at most 0.20 pp)"),
        (
            quality(kept_agreement=Estimate(0.999, 0.9971, 1.0, 1500, "")),
            "with 99.90 % of the original's classes (at least 99.71 %)",
        ),
        (
            quality(cosine=Estimate(0.9981, 0.99802, 0.9982, 1500, "")),
            "at a cosine of 0.99810 to the original's answers (at least 0.99802)",
        ),
    ],
)
def test_the_cost_is_said_with_its_bound(found: Quality | None, said: str) -> None:
    assert cost_in_words(found) == said
