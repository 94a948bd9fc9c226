"""Every sentence about a candidate holds for its numbers."""

from __future__ import annotations

from typing import Any

import pytest

from edgekit.metrics import Estimate
from edgekit.package.values import SessionChoice
from edgekit.tune.deciding import Decision
from edgekit.tune.fates import brought_to, fate, slowness, why
from edgekit.tune.results import Tried

FINAL: dict[str, Any] = {
    "won": "int8 · cpu",
    "best": 1.41,
    "alike": ["int8 · cpu, spin"],
    "stage": 3,
}


def tried(speedup: float | None, *, label: str = "x · cpu", stage: int = 3) -> Tried:
    estimate = (
        None if speedup is None else Estimate(speedup, speedup - 0.01, speedup + 0.01, 5, "t")
    )
    p50 = Estimate(2.0, 1.9, 2.1, 5, "t")
    return Tried(
        label, "x", SessionChoice(), "beaten", "", stage=stage, p50_ms=p50, speedup=estimate
    )


@pytest.mark.parametrize(
    ("one", "final", "on_front", "outcome", "said"),
    [
        (tried(1.41, label="int8 · cpu"), {}, True, "chosen", ""),
        (tried(None, label="fp32 · cpu"), {}, True, "kept", ""),
        (tried(0.9), {"against": "int8"}, True, "slower", "×0.90 of int8's speed"),
        (tried(0.9), {}, True, "slower", "×0.90 of the float variant's speed"),
        (tried(1.0), {}, True, "beaten", "which noise alone could be"),
        (tried(1.2), {}, False, "beaten", "int8 · cpu is faster"),
        (tried(1.2), {}, True, "kept", "slower than the winner, and more accurate or smaller"),
        (tried(1.43, label="int8 · cpu, spin"), {}, True, "kept", "can't be told from int8 · cpu"),
        (tried(1.43, label="int8 · cpu, spin"), {}, False, "beaten", "and that asks for less"),
        (tried(1.7, stage=2), {}, False, "beaten", "in an earlier race, in which others were"),
        (tried(1.7), {}, False, "beaten", "slower than what can't be told from int8 · cpu"),
        (tried(1.7), {"stayed": True}, False, "beaten", "chosen before, by no more than noise"),
        (tried(1.7), {"stage": None}, True, "kept", "there was no time for a last race"),
        (tried(0.9), {"stage": None}, True, "slower", "×0.90"),
    ],
)
def test_what_became_of_a_candidate_is_said(
    one: Tried, final: dict[str, Any], on_front: bool, outcome: str, said: str
) -> None:
    became, reason = fate(one, on_front=on_front, **(FINAL | final))
    assert became == outcome
    assert said in reason


def test_the_float_variant_wins_for_one_of_two_reasons() -> None:
    assert "by more than noise" in why(Decision(), raced=True)
    assert "of what there was time for" in why(Decision(), raced=True, complete=False)
    assert why(Decision(), raced=True, against="int8").startswith("int8: nothing")
    assert "nothing else was raced to the end" in why(Decision(), raced=False)


def test_times_of_an_earlier_race_are_brought_to_the_last() -> None:
    brought = brought_to(Estimate(3.0, 2.9, 3.1, 5, "t"), tried(1.5))
    assert brought is not None
    assert brought.value == pytest.approx(2.0)
    assert brought.low < brought.value < brought.high
    assert brought_to(None, tried(1.5)) == tried(1.5).p50_ms
    assert slowness(tried(2.0)) == pytest.approx(0.5)
    assert slowness(tried(None)) == 1
