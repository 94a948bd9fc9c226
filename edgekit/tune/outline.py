"""What a search would try, and how long it would take, before anything is made."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit.budgets import Budget
from edgekit.package.values import SessionChoice
from edgekit.terms import Undecided
from edgekit.tune.memory import done_with
from edgekit.tune.memory import earlier as found_earlier
from edgekit.tune.racing import plan_of
from edgekit.tune.setting import prepare
from edgekit.tune.steps import still_to_make, worth_making
from edgekit.tune.timing import making_s, pace_of
from edgekit.tune.ways import Way, first_ways

SCHEMA_VERSION = 1


class Planned(msgspec.Struct, frozen=True):
    """A candidate of the first race: whether its variant is there, how long it takes to make if
    not, in seconds, and why it is worth a try.

    `only_after` names the variant that must pay before this one is made, where there is one.
    """

    label: str
    variant: str
    session: SessionChoice
    there: bool
    make_s: float
    why: str
    only_after: str | None = None


class Outline(msgspec.Struct, frozen=True):
    """What a search would do: make variants for `build_s`, and race for `races_s`, in seconds.

    `following_s` is what those take that are made only if others pay. The figures are rough: they
    come from a few calls of the float variant, and repairing a variant that misses the budget takes
    longer than making one.
    """

    package: str
    providers: tuple[str, ...]
    budgets: tuple[Budget, ...]
    evaluation: str
    planned: tuple[Planned, ...]
    build_s: float
    races_s: float
    following_s: float = 0.0
    notes: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION

    @property
    def total_s(self) -> float:
        """Say how long it takes at most, as far as can be told."""
        return self.build_s + self.following_s + self.races_s


def outline(
    package: str | os.PathLike[str],
    *,
    providers: Sequence[str] = (),
    budgets: Sequence[Budget] = (),
    undecided: Undecided = "reject",
    batch: int | None = None,
    calib_data: str | None = None,
    eval_data: str | None = None,
    synthetic: bool = False,
    wall_s: float = 600.0,
) -> Outline:
    """Say what `edgekit.tune.tune` would try, without making or changing anything.

    Args:
        package: the package's folder; the rest is as `tune` takes it.
        providers: those to search on.
        budgets: what must be kept.
        undecided: whether a variant may win on which the cases don't decide.
        batch: the rows of a timed call.
        calib_data: what to calibrate with.
        eval_data: what accuracy is measured on.
        synthetic: take made-up values where there are no real ones.
        wall_s: how long loading, or a single run, may take.

    Raises what `tune` raises before it makes anything.
    """
    path = Path(package)
    setting = prepare(
        path,
        providers=providers,
        budgets=budgets,
        undecided=undecided,
        batch=batch,
        calib_data=calib_data,
        eval_data=eval_data,
        made_up=synthetic,
        wall_s=wall_s,
    )
    pace = pace_of(setting.track, cases=setting.evaluation.cases)
    steps, notes = worth_making(setting.parent, setting.usable, weights=setting.weights)
    known = done_with(found_earlier(setting), setting.package)
    there = {variant.name for variant in setting.subject.variants}
    sure, following = still_to_make(steps, there=there, done_with=known)
    planned = [
        Planned(way.label, way.variant, way.session, True, 0.0, _why(way, setting.track.baseline))
        for way in first_ways(setting.variants, setting.usable)
    ]
    for step in (*sure, *following):
        make_s = making_s(step, setting, pace)
        way = Way(step.name, SessionChoice(provider=step.provider))
        after = step.parent if step in following else None
        planned.append(Planned(way.label, step.name, way.session, False, make_s, step.why, after))
    n = len(planned) - len(following)
    first, second = (plan_of(stage, last=False, wall_s=wall_s) for stage in (1, 2))
    races_s = pace.race_s(n, first, cases=setting.evaluation.cases)
    races_s += pace.race_s(n + 8, second) + pace.last_s
    evaluation = setting.evaluation
    return Outline(
        package=setting.package.name,
        providers=tuple(provider.name for provider in setting.usable),
        budgets=setting.data.budgets,
        evaluation=f"{evaluation.cases:,} {evaluation.name}",
        planned=tuple(planned),
        build_s=sum(one.make_s for one in planned if one.only_after is None),
        races_s=races_s,
        following_s=sum(one.make_s for one in planned if one.only_after is not None),
        notes=(*setting.notes, *notes),
    )


def _why(way: Way, baseline: Way) -> str:
    return "what all others are held to" if way == baseline else "it is in the package"
