"""The races of a search, one after the other: everyone, the faster half, the last few."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence

from edgekit.package import choices, reading
from edgekit.tune import racing
from edgekit.tune.clock import Clock, TimeUp
from edgekit.tune.deciding import Decision, decision
from edgekit.tune.judged import same_numbers
from edgekit.tune.results import Tried
from edgekit.tune.setting import Setting
from edgekit.tune.standing import Standing
from edgekit.tune.timing import Pace
from edgekit.tune.ways import Way, first_ways

log = logging.getLogger("edgekit")

REFINED = 3
"""Of so many of the fastest other ways to run are tried."""


class Races:
    """The races of one search: what each has to know of the ones before."""

    def __init__(
        self,
        setting: Setting,
        standing: Standing,
        *,
        clock: Clock,
        pace: Pace,
        known: Mapping[str, Tried],
        save: Callable[[], None],
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._setting = setting
        self._standing = standing
        self._clock = clock
        self._pace = pace
        self._known = known
        self._save = save
        self._progress = progress

    def run(self) -> Decision:
        """Run all races.

        Raises:
            TimeUp: there was no time for the last one.
            EdgekitError: the baseline can't be run.
        """
        return self._last(self._refine(self._halve(self._first())))

    def _first(self) -> list[Way]:
        """Measure everyone's accuracy and first speed; whoever isn't right is out."""
        standing, baseline = self._standing, self._setting.track.baseline
        ways = [
            w for w in first_ways(self._setting.variants, self._setting.usable) if w != baseline
        ]
        self._resume([baseline, *ways])
        new = [way for way in ways if way.label not in self._known]
        self._reserve()
        if new or not ways:
            # Who was judged when it was made needn't be judged again.
            judged = all(standing.judged(way) for way in (baseline, *new))
            log.info(
                "racing %s and %s%s",
                self._setting.baseline,
                f"{len(new)} more" if new else "nothing else",
                "" if judged else ", and measuring how right they are",
            )
            try:
                self._raced(new, evaluated=not judged)
            except TimeUp:
                if not standing.fastest(ways):
                    raise
                standing.skip("racing " + ", ".join(way.label for way in new))
        return standing.fastest(ways)

    def _resume(self, ways: Sequence[Way]) -> None:
        """Take in what an earlier search measured."""
        for way in ways:
            if way.label in self._known:
                self._standing.resume(way, self._known[way.label])

    def _halve(self, field: list[Way]) -> list[Way]:
        while len(field) > 2 * REFINED and self._time_for(field):
            log.info("racing the fastest %d", len(field))
            try:
                race = self._raced(field)
            except TimeUp:  # what is known of them has to do
                break
            field = _fastest(field, race, keep=max(REFINED, len(field) // 2))
        return self._standing.fastest(field)[: 2 * REFINED]

    def _refine(self, field: list[Way]) -> list[Way]:
        """Try other ways to run the fastest, which leave their numbers as they are."""
        others = []
        for way in [*field[:REFINED], self._setting.track.baseline]:
            provider = next(p for p in self._setting.usable if p.name == way.session.provider)
            facts = reading.variant_named(self._setting.package, way.variant).facts
            others += [
                Way(way.variant, session)
                for session in provider.alternatives(way.session, facts, self._standing.threads)
            ]
        others = [way for way in others if self._standing.take(way)]
        before = [way for way in others if way.label in self._known]
        self._resume(before)
        others = [way for way in others if way.label not in self._known]
        if others:
            field = self._race_others(field, others)
        return self._standing.fastest([*field, *before])

    def _race_others(self, field: list[Way], others: list[Way]) -> list[Way]:
        if self._time_for([*field, *others]):
            log.info("trying %d other ways to run the fastest", len(others))
            with contextlib.suppress(TimeUp):
                race = self._raced([*field, *others])
                return _fastest([*field, *others], race, keep=racing.FINALISTS)
        self._standing.skip(f"{len(others)} other ways to run the fastest were not tried")
        return field

    def _last(self, field: list[Way]) -> Decision:
        """Measure the finalists as a bench does, and choose.

        What was chosen before is always among them: a race that time cut short puts nothing in its
        place that isn't faster by more than noise.
        """
        finalists = self._standing.fastest(field)[: racing.FINALISTS]
        before = self._chosen_before()
        if before is not None and before not in finalists:
            finalists = [*finalists[: racing.FINALISTS - 1], before]
        if not finalists:
            self._standing.raced_last = True  # whom there is to race against, nobody is left
            return Decision()
        self._clock.reserved_s = 0.0
        if self._clock.left_s <= 0:
            raise TimeUp
        log.info("the last race: %s", ", ".join(way.label for way in finalists))
        race = self._raced(finalists, last=True)
        self._standing.raced_last = True
        full = racing.plan_of(self._standing.stage, last=True, wall_s=self._setting.wall_s)
        short = race.benches[0].plan != full or race.starts < full.starts
        return decision(
            self._standing.entrants(finalists, race),
            before=before.label if before is not None and short else None,
        )

    def _chosen_before(self) -> Way | None:
        """Find what `edgekit.load` takes here, if it may win this search too."""
        setting = self._setting
        chosen = choices.chosen_on(setting.path, setting.package, setting.speed_key)
        if chosen is None:
            return None
        way = Way(chosen.winner.variant, chosen.winner.session)
        searched = (
            way.variant in {variant.name for variant in setting.variants}
            and way.session.provider in {provider.name for provider in setting.usable}
            and way != setting.track.baseline
        )
        row = self._standing.tried.get(way.label)
        right = row is None or self._standing.keeps(way)
        known = same_numbers(way, setting.track.baseline) or self._standing.quality_of(way)
        return way if searched and right and known else None

    def _reserve(self) -> None:
        """Keep time for the last race, a third of all of it at most."""
        self._clock.reserved_s = min(self._pace.last_s, (self._clock.limit_s or 0.0) / 3)

    def _time_for(self, field: Sequence[Way]) -> bool:
        plan = racing.plan_of(self._standing.stage + 1, last=False, wall_s=self._setting.wall_s)
        self._reserve()
        return self._clock.has(self._pace.race_s(len(field) + 1, plan))

    def _raced(
        self, ways: Sequence[Way], *, evaluated: bool = False, last: bool = False
    ) -> racing.Race:
        standing, setting, pace = self._standing, self._setting, self._pace
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
        pace.took(self._clock.took_s - before_s, expected_s=expected_s * race.starts / plan.starts)
        standing.ran(race, ways)
        self._save()
        return race


def _fastest(field: Sequence[Way], race: racing.Race, *, keep: int) -> list[Way]:
    named = {way.label: way for way in field}
    return [named[label] for label in racing.going_on(race.speedups, keep=keep) if label in named]
