"""The search: make what is worth a try, leave out what isn't right, race the rest, choose."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from edgekit.budgets import Budget
from edgekit.errors import StorageError
from edgekit.package import choices
from edgekit.package.values import Choice
from edgekit.terms import Undecided
from edgekit.tune import ending, memory
from edgekit.tune.building import remove
from edgekit.tune.clock import Clock, TimeUp
from edgekit.tune.deciding import Decision
from edgekit.tune.halving import Races
from edgekit.tune.making import left_to_make, make_all
from edgekit.tune.results import Tuned
from edgekit.tune.setting import Setting, again, prepare
from edgekit.tune.standing import Standing
from edgekit.tune.timing import pace_of

_WALL_S = 600.0


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
    # What couldn't be made then may be made now: the package was read-only, or an extra missing.
    if (
        found is not None
        and memory.nothing_new(found, setting)
        and not left_to_make(setting, done_with=memory.done_with(found, setting.package))
    ):
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
        self._found = found
        self._keep_all = keep_all
        self._progress = progress
        self._kept_in: Path | None = setting.path
        self._standing = Standing(
            setting,
            made=memory.made_before(found, setting),
            races=found.races if found and not found.finished else (),
        )

    def run(self) -> Tuned:
        """Go through all steps, or as many as there is time for."""
        standing, package = self._standing, self._setting.package
        pace = pace_of(self._setting.track, cases=self._setting.evaluation.cases)
        known = memory.holding(self._found, package)
        # Of what an earlier search raced the last race alone is left.
        races_s, share = (pace.last_s, 1 / 3) if known else (pace.races_s, 0.6)
        self._clock.reserved_s = min(races_s, share * (self._clock.limit_s or 0.0))
        make_all(
            self._setting,
            standing,
            clock=self._clock,
            pace=pace,
            races_s=races_s,
            done_with=memory.done_with(self._found, package),
            save=self._save,
            progress=self._progress,
        )
        self._look_again()
        races = Races(
            self._setting,
            standing,
            clock=self._clock,
            pace=pace,
            known=known,
            save=self._save,
            progress=self._progress,
        )
        decided, before = Decision(), None
        try:
            decided = races.run()
        except TimeUp:
            standing.note(
                "time ran out before the last race, so that nothing new is chosen: give more with "
                "--time-limit, or run it again, which goes on from here"
            )
            before = choices.chosen_on(
                self._setting.path, self._setting.package, self._setting.speed_key
            )
        winner = ending.decide(standing, decided, before=before)
        if standing.raced_last and not self._keep_all:
            self._clear_up(winner)
        if before is None and not choices.store(
            self._setting.path, ending.chosen(standing, winner)
        ):
            standing.note("what was chosen could not be kept: edgekit.load doesn't take it")
        if self._kept_in is None:
            standing.note("what was found could not be kept: run again, the search begins anew")
        elif not self._kept_in.is_relative_to(self._setting.path):
            standing.note(f"nothing can be written beside the package: kept in {self._kept_in}")
        done = ending.tuned(
            standing, winner, took_s=self._clock.took_s, limit_s=self._clock.limit_s
        )
        memory.store(self._setting.path, done)
        return done

    def _save(self) -> None:
        """Keep what is known so far: an interrupted search goes on from here."""
        unfinished = ending.tuned(
            self._standing,
            ending.not_ended(self._standing),
            took_s=self._clock.took_s,
            limit_s=self._clock.limit_s,
            finished=False,
        )
        self._kept_in = memory.store(self._setting.path, unfinished)

    def _clear_up(self, winner: Choice) -> None:
        """Take out what the search made and nobody would choose."""
        going = ending.unwanted(self._standing, winner)
        if not going:
            return
        try:
            remove(self._setting.path, going)
        except StorageError as error:
            self._standing.note(f"{', '.join(going)} could not be taken out again: {error}")
        self._look_again()

    def _look_again(self) -> None:
        """Read the package once more: it has other variants than before."""
        self._setting = self._standing.setting = again(self._setting)
