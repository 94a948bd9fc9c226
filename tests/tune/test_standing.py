"""What is taken down of a race: how right a candidate is comes from one that computes the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.budgets import Budget
from edgekit.measure.plan import Plan
from edgekit.measure.results import Bench, Measurement, Quality, Start
from edgekit.metrics import Estimate
from edgekit.package.values import SessionChoice
from edgekit.tensors import RunFacts
from edgekit.tune.memory import size_bytes
from edgekit.tune.racing import Race
from edgekit.tune.results import Tried
from edgekit.tune.setting import Setting, prepare
from edgekit.tune.standing import Standing
from edgekit.tune.ways import Way

HINT = "INFERENCE_PRECISION_HINT"


@pytest.fixture
def setting(network: Callable[[], Path]) -> Setting:
    return prepare(network(), providers=("cpu",), budgets=(Budget("cosine", 0.9),))


def quality(cosine: float) -> Quality:
    return Quality("digits", 360, "key", cosine=Estimate(cosine, cosine, cosine, 360, "t"))


def raced(setting: Setting, *entries: tuple[Way, int, Quality | None]) -> Race:
    """Make up a race of one group, in ns a call."""
    baseline = setting.track.baseline
    measurements = [
        Measurement(
            way.label,
            RunFacts(way.session.provider, "fp32", threads=1),
            [Start(1, 1, 1, None, [], [[ns, ns]]) for _ in range(2)],
            1000,
            quality=quality,
        )
        for way, ns, quality in [(baseline, 1000, None), *entries]
    ]
    bench = Bench(
        name="net",
        baseline=baseline.label,
        baseline_is="the float variant",
        metric="closeness",
        sizes={},
        batch=1,
        threads=1,
        machine=setting.track.machine,
        plan=Plan(),
        measurements=measurements,
    )
    return Race((bench,))


def test_other_threads_are_as_right_as_what_computes_in_the_same_numbers(setting: Setting) -> None:
    name = setting.parent.name
    plain = Way(name, SessionChoice("openvino"))
    short = Way(name, SessionChoice("openvino", provider_options={HINT: "bf16"}))
    alone = Way(name, SessionChoice("openvino", threads=1, provider_options={HINT: "bf16"}))
    standing = Standing(setting)
    standing.ran(raced(setting, (plain, 900, quality(1.0))), [plain])
    assert standing.judged(plain)
    assert not standing.judged(short), "other numbers are judged on their own"
    first = raced(setting, (plain, 900, quality(1.0)), (short, 800, quality(0.95)))
    standing.ran(first, [plain, short])
    standing.ran(raced(setting, (alone, 700, None)), [alone])
    done = standing.tuned(took_s=1, limit_s=None)
    rows = {tried.label: tried for tried in done.tried}
    assert rows[alone.label].quality == quality(0.95)
    assert rows[plain.label].quality == quality(1.0)


def test_who_won_before_is_in_the_race_again(setting: Setting) -> None:
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
    standing.decide(entrant, [])
    done = standing.tuned(took_s=1, limit_s=None)
    outcomes = {tried.label: tried.outcome for tried in done.tried}
    assert outcomes[new.label] == "chosen"
    assert outcomes[old.label] == "beaten"


def test_what_was_skipped_leaves_a_search_unfinished(setting: Setting) -> None:
    standing = Standing(setting)
    standing.raced_last = True
    assert standing.tuned(took_s=1, limit_s=None).finished
    standing.skip("the rest")
    left = standing.tuned(took_s=1, limit_s=None)
    assert not left.finished
    assert "the rest: there was no time for it" in left.notes
