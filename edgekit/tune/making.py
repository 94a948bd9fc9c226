"""Make all variants that are worth a try, as far as there is time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain

from edgekit.errors import StorageError
from edgekit.package.locking import refuse_unlockable
from edgekit.tune.building import Built, build
from edgekit.tune.clock import Clock, TimeUp
from edgekit.tune.results import Tried
from edgekit.tune.setting import Setting
from edgekit.tune.standing import Standing
from edgekit.tune.steps import Step, from_optimized, still_to_make, worth_making
from edgekit.tune.timing import Pace, making_s

log = logging.getLogger("edgekit")


def make_all(
    setting: Setting,
    standing: Standing,
    *,
    clock: Clock,
    pace: Pace,
    races_s: float,
    done_with: Mapping[str, Sequence[Tried]],
    save: Callable[[], None],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Make the variants that are worth a try and aren't there yet.

    Args:
        setting: the package, and what variants must keep.
        standing: takes down what became of each.
        clock: what doesn't fit into its time isn't made.
        pace: how long a call takes.
        races_s: how long the races that follow take.
        done_with: what an earlier search couldn't make, or took out again, by name: that isn't
            tried again.
        save: called after each.
        progress: called with how much of one is done and how much there is.

    Raises:
        StorageError: the package can't be changed any more.
    """
    steps, notes = worth_making(setting.parent, setting.usable, weights=setting.weights)
    for note in notes:
        standing.note(note)
    on = {provider.name for provider in setting.usable}
    for row in chain.from_iterable(done_with.values()):
        if row.session.provider in on:
            standing.add(row)
    try:
        refuse_unlockable(setting.path)
    except StorageError as error:
        standing.note(f"only variants that exist are tried: {error}")
        return
    there = {variant.name for variant in setting.subject.variants}
    sure, following = still_to_make(steps, there=there, done_with=done_with)
    sure_s, more_s = (sum(making_s(s, setting, pace) for s in some) for some in (sure, following))
    log.info(
        "making variants takes about %.0f s%s, the races about %.0f s",
        sure_s,
        f", {more_s:.0f} s more if rewrites pay" if following else "",
        races_s,
    )
    index = 0
    while index < len(steps):
        step = steps[index]
        index += 1
        made = step.name in there
        if not made and step.name not in done_with:
            needed_s = making_s(step, setting, pace)
            if clock.has(needed_s):
                log.info("making %s (%d of %d: %s)", step.name, index, len(steps), step.why)
                built = _made(step, setting, progress=clock.stopping(progress))
            else:
                built = Built(step, None, "not tried", f"it takes about {needed_s:.0f} s to make")
            made = built.variant is not None
            standing.built(built)
            save()
        if made and step.scheme is None:
            steps += from_optimized(steps, step.name)


def left_to_make(setting: Setting, *, done_with: Collection[str]) -> list[Step]:
    """List what a search would make: nothing where the package can't be changed.

    Args:
        setting: the package.
        done_with: the names of variants that need not be made once more.
    """
    steps, _ = worth_making(setting.parent, setting.usable, weights=setting.weights)
    there = {variant.name for variant in setting.subject.variants}
    sure, _ = still_to_make(steps, there=there, done_with=done_with)
    try:
        refuse_unlockable(setting.path)
    except StorageError:
        return []
    return sure


def _made(step: Step, setting: Setting, *, progress: Callable[[int, int], None]) -> Built:
    try:
        return build(
            setting.path,
            step,
            data=setting.data,
            parent=setting.parent.name,
            wall_s=setting.wall_s,
            progress=progress,
        )
    except TimeUp:
        return Built(step, None, "not tried", "time ran out while it was made")
