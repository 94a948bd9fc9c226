"""What a search ends with: everyone's fate, what is chosen, and whether anything is left to do."""

from __future__ import annotations

from collections.abc import Callable

from edgekit.metrics import Estimate
from edgekit.package.choices import SCHEMA_VERSION, Chosen
from edgekit.package.values import Choice, SessionChoice
from edgekit.tune import ending
from edgekit.tune.deciding import Decision
from edgekit.tune.memory import size_bytes
from edgekit.tune.racing import Race
from edgekit.tune.results import Tried
from edgekit.tune.setting import Setting
from edgekit.tune.standing import Standing
from edgekit.tune.ways import Way


def test_who_won_before_is_in_the_race_again(setting: Setting, raced: Callable[..., Race]) -> None:
    old = Way(setting.parent.name, SessionChoice(threads=1))
    new = Way(setting.parent.name, SessionChoice(graph_level="extended"))
    standing = Standing(setting)
    row = Tried(
        old.label,
        old.variant,
        old.session,
        "chosen",
        "it won",
        stage=4,
        p50_ms=Estimate(0.5, 0.4, 0.6, 5, "t"),
        speedup=Estimate(2.0, 1.9, 2.1, 5, "t"),
        size_bytes=size_bytes(setting.package, old.variant),
    )
    standing.resume(old, row)
    race = raced(setting, (new, 250, None))
    standing.ran(race, [new])
    assert standing.stage == 2
    standing.raced_last = True
    (entrant,) = standing.entrants([new], race)
    winner = ending.decide(standing, Decision(entrant))
    done = ending.tuned(standing, winner, took_s=1, limit_s=None)
    assert done.winner == winner
    outcomes = {tried.label: tried.outcome for tried in done.tried}
    assert outcomes[new.label] == "chosen"
    assert outcomes[old.label] == "beaten"


def test_without_a_last_race_what_was_chosen_before_stays(
    setting: Setting, raced: Callable[..., Race]
) -> None:
    way = Way(setting.parent.name, SessionChoice(threads=1))
    standing = Standing(setting)
    standing.ran(raced(setting, (way, 500, None)), [way])
    assert ending.decide(standing, Decision()).session == SessionChoice()
    held = Choice(way.variant, way.session, "it won", setting.speed_key)
    before = Chosen(SCHEMA_VERSION, setting.speed_key, "this", held, {"cpu": held}, {}, "a budget")
    standing = Standing(setting)
    standing.ran(raced(setting, (way, 500, None)), [way])
    winner = ending.decide(standing, Decision(), before=before)
    assert (winner.variant, winner.session) == (held.variant, held.session)
    assert winner.reason == "it won; chosen before, inside a budget"
    outcomes = {label: tried.outcome for label, tried in standing.tried.items()}
    assert outcomes == {setting.track.baseline.label: "kept", way.label: "chosen"}


def test_what_was_skipped_leaves_a_search_unfinished(setting: Setting) -> None:
    standing = Standing(setting)
    standing.raced_last = True
    winner = ending.not_ended(standing)
    assert ending.tuned(standing, winner, took_s=1, limit_s=None).finished
    standing.skip("the rest")
    left = ending.tuned(standing, winner, took_s=1, limit_s=None)
    assert not left.finished
    assert "the rest: there was no time for it" in left.notes
