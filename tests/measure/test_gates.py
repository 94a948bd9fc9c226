from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import BadValue, UnknownName
from edgekit.measure.gates import Gate, Verdict, judge, parse
from edgekit.metrics import Estimate
from edgekit.terms import Comparison, GateMetric, members


def _estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value, low, high, 5, "test")


@pytest.mark.parametrize("metric", members(GateMetric))
@pytest.mark.parametrize("comparison", members(Comparison))
def test_parse_reads_every_metric_and_comparison(metric: str, comparison: str) -> None:
    gate = parse(f"{metric}{comparison}0.5")
    assert (gate.metric, gate.comparison, gate.limit) == (metric, comparison, 0.5)


def test_parse_ignores_spaces_and_keeps_the_text() -> None:
    assert parse("  speedup <=  1.5e0 ") == Gate("speedup", "<=", 1.5, "speedup <=  1.5e0")


@pytest.mark.parametrize(
    "text", ["", "p50_ms", "p50_ms>", ">5", "p50_ms=5", "p50_ms==5", "p50_ms=>5", "p50_ms<1<2"]
)
def test_parse_refuses_what_is_no_condition_and_shows_one(text: str) -> None:
    with pytest.raises(BadValue, match="p50_ms>5") as caught:
        parse(text)
    assert "speedup" in str(caught.value)


@pytest.mark.parametrize("limit", ["nan", "inf", "-1", "5ms", "97%"])
def test_parse_refuses_a_limit_that_is_no_number(limit: str) -> None:
    with pytest.raises(BadValue, match="p50_ms"):
        parse(f"p50_ms>{limit}")


def test_parse_refuses_a_percentage_where_a_share_is_meant() -> None:
    with pytest.raises(BadValue, match="share"):
        parse("accuracy<97")
    assert parse("throughput_per_s<97").limit == 97


def test_parse_suggests_the_nearest_metric() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'speedup'"):
        parse("speedupp<2")


@given(st.text(max_size=30))
def test_parse_gives_a_gate_or_a_usage_error(text: str) -> None:
    try:
        gate = parse(text)
    except (BadValue, UnknownName):
        return
    assert math.isfinite(gate.limit)


@pytest.mark.parametrize(
    ("text", "failed"),
    [
        ("speedup<1.5", True),
        ("speedup<1.4", False),
        ("speedup<=1.4", True),
        ("speedup>1.8", False),
        ("speedup>=1.8", True),
        ("speedup>1.7", True),
    ],
)
def test_judge_decides_on_the_end_that_is_likelier_to_trip(text: str, failed: bool) -> None:
    verdict = judge(parse(text), _estimate(1.6, 1.4, 1.8), row="fp32")
    assert verdict.failed is failed
    assert verdict.tripped is failed


def test_judge_decides_plain_numbers_as_they_are() -> None:
    assert judge(parse("size_mb>2"), 2.1, row="fp32").failed is True
    assert judge(parse("size_mb>2"), 2.0, row="fp32").failed is False


def test_judge_says_what_was_found_where() -> None:
    verdict = judge(parse("speedup<1.5"), _estimate(1.6, 1.4, 1.8), row="fp32 · cpu")
    assert verdict.sentence == (
        "fp32 · cpu: speedup is 1.6 and the low end of its interval 1.4, below 1.5 ('speedup<1.5')"
    )
    verdict = judge(parse("p50_ms>5"), 4.25, row="fp32")
    assert verdict.sentence == "fp32: p50_ms is 4.25, not above 5 ('p50_ms>5')"


def test_judge_never_rounds_a_number_onto_the_other_side_of_its_limit() -> None:
    verdict = judge(parse("speedup<1.5"), 1.4999996, row="fp32")
    assert verdict.failed is True
    assert "1.4999996, below 1.5" in verdict.sentence


@pytest.mark.parametrize(
    "value", [None, math.nan, math.inf, -math.inf, Estimate(0.0, 0.0, 1.0, 0, "no trials")]
)
@pytest.mark.parametrize("text", ["agreement<0.99", "agreement>0.5"])
def test_judge_trips_on_what_could_not_be_measured(
    text: str, value: Estimate | float | None
) -> None:
    verdict = judge(parse(text), value, row="int8")
    assert verdict.failed is None
    assert verdict.tripped
    assert "int8: agreement could not be measured" in verdict.sentence


def test_verdict_survives_json() -> None:
    verdict = judge(parse("cold_ms>300"), 120.0, row="fp32")
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict) == verdict
