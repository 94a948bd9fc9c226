"""The last race: who is in it, and what a choice of before is worth in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from edgekit.measure.plan import Plan
from edgekit.package import choices
from edgekit.package.values import Choice, SessionChoice
from edgekit.tune import racing
from edgekit.tune.clock import Clock
from edgekit.tune.deciding import Decision
from edgekit.tune.halving import Races
from edgekit.tune.racing import Race, Track
from edgekit.tune.setting import Setting
from edgekit.tune.standing import Standing
from edgekit.tune.timing import Pace
from edgekit.tune.ways import Way

Made = Callable[..., Race]


@pytest.fixture
def last(
    setting: Setting, raced: Made, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Decision, list[str]]]:
    """Run the last race of five that ran already; each takes 0.25 % longer than the one before."""

    def run(*, rounds: int = 4, starts: int = 5) -> tuple[Decision, list[str]]:
        plan = Plan(rounds=4)
        ran: list[str] = []

        def race(track: Track, ways: Sequence[Way], plan: Plan, **options: Any) -> Race:
            ran.extend(way.label for way in ways)
            times = [(way, 400 + i, None) for i, way in enumerate(ways)]
            return raced(setting, *times, plan=plan, starts=starts)

        def affordable(self: Pace, plan: Plan, n: int, *, left_s: float) -> Plan:
            return msgspec.structs.replace(plan, rounds=rounds)

        monkeypatch.setattr(racing, "race", race)
        monkeypatch.setattr(racing, "plan_of", lambda stage, *, last, wall_s: plan)
        monkeypatch.setattr(Pace, "affordable", affordable)
        standing = Standing(setting)
        field = [Way(setting.parent.name, SessionChoice(threads=n)) for n in range(1, 6)]
        standing.ran(raced(setting, *((way, 400, None) for way in field)), field)
        races = Races(
            setting,
            standing,
            clock=Clock(),
            pace=Pace(0.1, 0.001, cases=10, wall_s=60),
            known={},
            save=lambda: None,
            progress=None,
        )
        return races._last(field), ran

    return run


def choose(setting: Setting, session: SessionChoice) -> str:
    """Let a session of the float variant be what was chosen here before."""
    held = Choice(setting.parent.name, session, "it won", setting.speed_key)
    files = {name: entry.sha256 for name, entry in setting.package.files.items()}
    chosen = choices.Chosen(
        choices.SCHEMA_VERSION,
        setting.speed_key,
        "this one",
        held,
        {session.provider: held},
        {setting.parent.model: files[setting.parent.model]},
    )
    assert choices.store(setting.path, chosen)
    return Way(held.variant, session).label


def test_what_was_chosen_before_is_in_the_last_race(
    setting: Setting, last: Callable[..., tuple[Decision, list[str]]]
) -> None:
    _, without = last()
    assert len(without) == racing.FINALISTS
    before = choose(setting, SessionChoice(graph_level="disabled"))
    _, ran = last()
    assert ran == [*without[:-1], before]


@pytest.mark.parametrize("cut", [{"rounds": 3}, {"starts": 3}])
def test_a_race_that_time_cut_short_keeps_what_was_chosen_before(
    cut: dict[str, int], setting: Setting, last: Callable[..., tuple[Decision, list[str]]]
) -> None:
    """Three finalists are faster by less than it is worth to ask for more, and ask for less."""
    before = choose(setting, SessionChoice(graph_level="disabled", idle="spin"))
    decided, _ = last()
    assert decided.winner is not None
    assert decided.winner.way.label != before
    stayed, _ = last(**cut)
    assert stayed.stayed
    assert stayed.winner is not None
    assert stayed.winner.way.label == before
