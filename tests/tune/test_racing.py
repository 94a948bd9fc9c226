"""Races have the baseline in every group, and the faster half goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.metrics import Estimate
from edgekit.package.values import SessionChoice
from edgekit.tune import racing
from edgekit.tune.racing import SLACK, at_once, estimated_s, going_on, plan_of, race
from edgekit.tune.setting import Setting, prepare
from edgekit.tune.steps import Step
from edgekit.tune.timing import making_s, pace_of
from edgekit.tune.ways import Way

values = st.dictionaries(st.text(min_size=1, max_size=4), st.floats(0.1, 9), max_size=20)


def estimates(values: dict[str, float]) -> dict[str, Estimate]:
    return {name: Estimate(v, v, v, 2, "t") for name, v in values.items()}


@given(values, st.integers(1, 8))
def test_the_fastest_go_on_and_no_more_than_half_again_as_many(
    values: dict[str, float], keep: int
) -> None:
    going = going_on(estimates(values), keep=keep)
    assert len(going) <= keep + (keep + 1) // 2
    assert len(going) >= min(keep, len(values))
    left = values.keys() - set(going)
    assert all(values[name] <= min(values[other] for other in going) for name in left)


def test_who_is_nearly_as_fast_goes_on_too() -> None:
    near, far = 2.0 * SLACK + 0.01, 2.0 * SLACK - 0.01
    assert going_on(estimates({"a": 3.0, "b": 2.0, "near": near, "far": far}), keep=2) == [
        "a",
        "b",
        "near",
    ]


def test_later_races_measure_more() -> None:
    plans = [plan_of(stage, last=False, wall_s=60) for stage in (1, 3, 5)]
    assert [plan.starts for plan in plans] == sorted({plan.starts for plan in plans})
    assert plan_of(4, last=True, wall_s=60).starts > plans[0].starts


def test_more_candidates_take_longer() -> None:
    plan = plan_of(1, last=False, wall_s=60)
    few, many = (estimated_s(n, plan, load_s=0.3, call_s=0.01) for n in (2, 8))
    assert few < many
    assert few < estimated_s(2, plan, load_s=0.3, call_s=0.01, cases=1000)


@pytest.fixture
def setting(network: Callable[[], Path]) -> Setting:
    return prepare(network(), providers=("cpu",))


def test_every_group_has_the_baseline_in_it(
    setting: Setting, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(racing, "_MOST_AT_ONCE", 2)
    track = setting.track
    others = [
        Way("net", SessionChoice(threads=1)),
        Way("net", SessionChoice(idle="spin")),
        track.baseline,
    ]
    others = [Way(track.baseline.variant, way.session) for way in others]
    told: list[tuple[int, int]] = []
    done = race(
        track,
        others,
        racing.plan_of(1, last=False, wall_s=60),
        progress=lambda n, of: told.append((n, of)),
    )
    assert len(done.benches) == 2
    assert all(bench.measurements[0].label == track.baseline.label for bench in done.benches)
    assert done.speedups.keys() == {way.label for way in others[:2]}
    assert told[-1][0] == told[-1][1]


def test_who_cannot_run_is_left_out_with_the_reason(setting: Setting, quick: None) -> None:
    bad = Way(setting.parent.name, SessionChoice(provider_options={"nonsense": "1"}))
    done = race(setting.track, [bad], racing.plan_of(1, last=False, wall_s=60))
    assert [left.label for left in done.left_out] == [bad.label]
    assert "nonsense" in done.left_out[0].reason


def test_groups_fit_the_memory(setting: Setting) -> None:
    small = msgspec.structs.replace(setting.track.machine, memory_mb=700)
    track = msgspec.structs.replace(setting.track, machine=small)
    assert at_once(track) == 1
    assert at_once(setting.track) > 1


def test_a_short_last_race_is_planned_where_there_is_little_time(setting: Setting) -> None:
    pace = pace_of(setting.track, cases=10)
    plan = plan_of(3, last=True, wall_s=60)
    assert pace.affordable(plan, 5, left_s=1e9) == plan
    assert pace.affordable(plan, 5, left_s=0.0).starts < plan.starts
    assert pace.last_s < pace.races_s
    before = pace.race_s(5, plan)
    rewriting = making_s(Step("optimized", None, "cpu", ""), setting, pace)
    quantizing = making_s(Step("int8-dynamic", "int8-dynamic", "cpu", ""), setting, pace)
    assert rewriting > quantizing, "rewrites are raced on the way"
    pace.took(20.0, expected_s=10.0)
    assert pace.race_s(5, plan) == pytest.approx(2 * before)
