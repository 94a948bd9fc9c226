"""The search: make what is worth a try, leave out what isn't right, race the rest, choose."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from edgekit.budgets import Budget
from edgekit.errors import StorageError
from edgekit.package import choices, reading
from edgekit.terms import Undecided
from edgekit.tune import memory, racing
from edgekit.tune.building import remove
from edgekit.tune.clock import Clock, TimeUp
from edgekit.tune.deciding import Entrant, winner
from edgekit.tune.making import make_all
from edgekit.tune.results import Tuned
from edgekit.tune.setting import Setting, again, prepare
from edgekit.tune.standing import Standing
from edgekit.tune.timing import Pace, pace_of
from edgekit.tune.ways import Way, first_ways

log = logging.getLogger("edgekit")

_WALL_S = 600.0
_REFINED = 3
"""Of so many of the fastest other ways to run are tried."""


def tune(
    package: str | os.PathLike[str],
    *,
    providers: Sequence[str] = (),
    budgets: Sequence[Budget] = (),
    undecided: Undecided = "reject",
    batch: int | None = None,
    time_limit_s: float | None = None,
    calib_data: str | None = None,
    eval_data: str | None = None,
    synthetic: bool = False,
    keep_all: bool = False,
    fresh: bool = False,
    wall_s: float = _WALL_S,
    progress: Callable[[int, int], None] | None = None,
) -> Tuned:
    """Find the fastest variant that keeps the budget on this machine, and how to run it.

    Variants that are worth a try are made and added to the package; those that nobody would choose
    are taken out again. What was found is kept beside the package after every step, so that an
    interrupted search goes on where it was, and `edgekit.load` takes the winner on machines of this
    kind.

    Args:
        package: the package's folder.
        providers: those to search on; all that can be used here unless given.
        budgets: what must be kept of the original's accuracy; by default half a percentage point
            of the right answers, 99 % of the original's classes, or a mean cosine of 0.99,
            whichever the cases allow first.
        undecided: whether a variant may win on which the cases don't decide.
        batch: the rows of a timed call; 1, or the fewest that the model takes, unless given.
        time_limit_s: how long the whole search may take.
        calib_data: what to calibrate with, see `edgekit.data.open_data`; the package's own cases
            unless given.
        eval_data: what accuracy is measured on; the package's held-out cases unless given.
        synthetic: take made-up values where there are no real ones.
        keep_all: leave every variant that was made in the package.
        fresh: measure again what an earlier search measured.
        wall_s: how long loading a model, or a single run, may take.
        progress: called with how much of a step is done and how much there is.

    Raises:
        BadValue: there are no cases to measure accuracy on, they don't allow the budget, or
            `package` is an .onnx file.
        UnknownName, ProviderUnavailable: a provider isn't there.
        NotFound, CorruptPackage, HashMismatch: the package or the data can't be read.
        EdgekitError: the float variant can't be run.
    """
    clock = Clock(time_limit_s)
    setting = prepare(
        Path(package),
        providers=providers,
        budgets=budgets,
        undecided=undecided,
        batch=batch,
        calib_data=calib_data,
        eval_data=eval_data,
        made_up=synthetic,
        wall_s=wall_s,
    )
    found = None if fresh else memory.earlier(setting)
    if found is not None and memory.nothing_new(found, setting):
        said = "found before on this machine, and nothing has changed since; --fresh measures again"
        return msgspec.structs.replace(found, notes=(said, *found.notes))
    return _Search(setting, clock, found, keep_all=keep_all, progress=progress).run()


class _Search:
    """One search on its way."""

    def __init__(
        self,
        setting: Setting,
        clock: Clock,
        found: Tuned | None,
        *,
        keep_all: bool,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._setting = setting
        self._clock = clock
        self._keep_all = keep_all
        self._progress = progress
        self._kept_in: Path | None = None
        self._done_with = memory.done_with(found, setting.package)
        self._known = memory.holding(found, setting.package)
        self._standing = Standing(
            setting,
            made=found.made if found else (),
            races=found.races if found and not found.finished else (),
        )

    def run(self) -> Tuned:
        """Go through all steps, or as many as there is time for."""
        standing = self._standing
        pace = pace_of(self._setting.track, cases=self._setting.evaluation.cases)
        self._clock.reserved_s = min(pace.races_s, 0.6 * (self._clock.limit_s or 0.0))
        make_all(
            self._setting,
            standing,
            clock=self._clock,
            pace=pace,
            done_with=self._done_with,
            save=self._save,
            progress=self._progress,
        )
        self._setting = again(self._setting)
        standing.setting = self._setting
        chosen: Entrant | None = None
        alike: list[Entrant] = []
        try:
            field = self._first_race(pace)
            field = self._halve(field, pace)
            field = self._refine(field, pace)
            chosen, alike = self._last_race(field, pace)
        except TimeUp:
            standing.note(
                "time ran out before the last race, so that nothing is chosen over the float "
                "variant: give more with --time-limit, or run it again, which goes on from here"
            )
        standing.decide(chosen, alike)
        if standing.raced_last and not self._keep_all:
            self._clear_up()
        if self._kept_in is not None and not self._kept_in.is_relative_to(self._setting.path):
            standing.note(f"nothing can be written beside the package: kept in {self._kept_in}")
        done = standing.tuned(took_s=self._clock.took_s, limit_s=self._clock.limit_s)
        memory.store(self._setting.path, done)
        known = choices.chosen_on(
            self._setting.path, self._setting.package, self._setting.speed_key
        )
        if standing.raced_last or known is None:
            choices.store(self._setting.path, standing.chosen())
        return done

    def _save(self) -> None:
        """Keep what is known so far: an interrupted search goes on from here."""
        unfinished = self._standing.tuned(
            took_s=self._clock.took_s, limit_s=self._clock.limit_s, finished=False
        )
        self._kept_in = memory.store(self._setting.path, unfinished)

    def _first_race(self, pace: Pace) -> list[Way]:
        """Measure everyone's accuracy and first speed; whoever isn't right is out."""
        setting, standing = self._setting, self._standing
        ways = [
            way
            for way in first_ways(setting.variants, setting.usable)
            if way != setting.track.baseline
        ]
        self._resume([setting.track.baseline, *ways])
        new = [way for way in ways if way.label not in self._known]
        self._reserve(pace)
        if new or not ways:
            # Who was judged when it was made needn't be judged again.
            judged = all(standing.judged(way) for way in (setting.track.baseline, *new))
            log.info(
                "racing the float variant and %s%s",
                f"{len(new)} more" if new else "nothing else",
                "" if judged else ", and measuring how right they are",
            )
            try:
                self._raced(new, pace, evaluated=not judged)
            except TimeUp:
                if not standing.accepted(ways):
                    raise
                standing.skip("racing " + ", ".join(way.label for way in new))
        return standing.accepted(ways)

    def _resume(self, ways: Sequence[Way]) -> None:
        """Take in what an earlier search measured."""
        for way in ways:
            if way.label in self._known:
                self._standing.resume(way, self._known[way.label])

    def _halve(self, field: list[Way], pace: Pace) -> list[Way]:
        while len(field) > 2 * _REFINED and self._time_for(field, pace):
            log.info("racing the fastest %d", len(field))
            try:
                race = self._raced(field, pace)
            except TimeUp:  # what is known of them has to do
                break
            field = _fastest(field, race, keep=max(_REFINED, len(field) // 2))
        return self._standing.fastest(field)[: 2 * _REFINED]

    def _refine(self, field: list[Way], pace: Pace) -> list[Way]:
        """Try other ways to run the fastest, which leave their numbers as they are."""
        best = field[:_REFINED]
        threads = self._standing.threads
        others = []
        for way in [*best, self._setting.track.baseline]:
            provider = next(p for p in self._setting.usable if p.name == way.session.provider)
            facts = reading.variant_named(self._setting.package, way.variant).facts
            others += [
                Way(way.variant, session)
                for session in provider.alternatives(way.session, facts, threads)
            ]
        others = [way for way in others if self._standing.take(way)]
        before = [way for way in others if way.label in self._known]
        self._resume(before)
        others = [way for way in others if way.label not in self._known]
        if others:
            field = self._race_others(field, others, pace)
        return self._standing.fastest([*field, *before])

    def _race_others(self, field: list[Way], others: list[Way], pace: Pace) -> list[Way]:
        if self._time_for([*field, *others], pace):
            log.info("trying %d other ways to run the fastest", len(others))
            with contextlib.suppress(TimeUp):
                race = self._raced([*field, *others], pace)
                return _fastest([*field, *others], race, keep=racing.FINALISTS)
        self._standing.skip(f"{len(others)} other ways to run the fastest were not tried")
        return field

    def _last_race(self, field: list[Way], pace: Pace) -> tuple[Entrant | None, list[Entrant]]:
        """Measure the finalists as a bench does, and choose."""
        finalists = self._standing.fastest(field)[: racing.FINALISTS]
        if not finalists:
            self._standing.raced_last = True  # whom there is to race against, nobody is left
            return None, []
        self._clock.reserved_s = 0.0
        if self._clock.left_s <= 0:
            raise TimeUp
        log.info("the last race: %s", ", ".join(way.label for way in finalists))
        race = self._raced(finalists, pace, last=True)
        self._standing.raced_last = True
        return winner(self._standing.entrants(finalists, race))

    def _reserve(self, pace: Pace) -> None:
        """Keep time for the last race, a third of all of it at most."""
        self._clock.reserved_s = min(pace.last_s, (self._clock.limit_s or 0.0) / 3)

    def _time_for(self, field: Sequence[Way], pace: Pace) -> bool:
        plan = racing.plan_of(self._standing.stage + 1, last=False, wall_s=self._setting.wall_s)
        self._reserve(pace)
        return self._clock.has(pace.race_s(len(field) + 1, plan))

    def _raced(
        self, ways: Sequence[Way], pace: Pace, *, evaluated: bool = False, last: bool = False
    ) -> racing.Race:
        standing, setting = self._standing, self._setting
        plan = racing.plan_of(standing.stage + 1, last=last, wall_s=setting.wall_s)
        if last:
            plan = pace.affordable(plan, len(ways) + 1, left_s=self._clock.left_s)
        cases = setting.evaluation.cases if evaluated else 0
        expected_s = pace.race_s(len(ways) + 1, plan, cases=cases)
        before_s = self._clock.took_s
        race = racing.race(
            setting.track,
            ways,
            plan,
            evaluation=setting.evaluation if evaluated else None,
            # Of the last race the starts that are done count.
            enough=(lambda: self._clock.left_s < expected_s / plan.starts) if last else None,
            progress=self._progress if last else self._clock.stopping(self._progress),
        )
        done = min(len(bench.measurements[0].starts) for bench in race.benches)
        pace.took(self._clock.took_s - before_s, expected_s=expected_s * done / plan.starts)
        standing.ran(race, ways)
        self._save()
        return race

    def _clear_up(self) -> None:
        """Take out what the search made and nobody would choose."""
        going = self._standing.unwanted()
        if not going:
            return
        try:
            remove(self._setting.path, going)
        except StorageError as error:
            self._standing.note(f"{', '.join(going)} could not be taken out again: {error}")
        self._setting = again(self._setting)
        self._standing.setting = self._setting


def _fastest(field: Sequence[Way], race: racing.Race, *, keep: int) -> list[Way]:
    named = {way.label: way for way in field}
    return [named[label] for label in racing.going_on(race.speedups, keep=keep) if label in named]
