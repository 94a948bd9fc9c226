"""Make all variants that are worth a try, as far as there is time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

from edgekit.errors import StorageError
from edgekit.package.locking import refuse_unlockable
from edgekit.tune.building import Built, build
from edgekit.tune.clock import Clock, TimeUp
from edgekit.tune.results import Tried
from edgekit.tune.setting import Setting
from edgekit.tune.standing import Standing
from edgekit.tune.steps import Step, from_optimized, worth_making
from edgekit.tune.timing import Pace, making_s

log = logging.getLogger("edgekit")


def make_all(
    setting: Setting,
    standing: Standing,
    *,
    clock: Clock,
    pace: Pace,
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
        done_with: what an earlier search couldn't make, or took out again, by name: that isn't
            tried again.
        save: called after each.
        progress: called with how much of one is done and how much there is.

    Raises:
        StorageError: the package can't be changed any more.
    """
    steps, notes = worth_making(setting.parent, setting.usable)
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
    open_steps = [step for step in steps if step.name not in there | done_with.keys()]
    log.info(
        "making variants takes about %.0f s, the races about %.0f s",
        sum(making_s(step, setting, pace) for step in open_steps),
        pace.races_s,
    )
    index = 0
    while index < len(steps):
        step = steps[index]
        index += 1
        made = step.name in there
        if not made and step.name not in done_with:
            log.info("making %s (%d of %d: %s)", step.name, index, len(steps), step.why)
            built = _made(step, setting, clock=clock, pace=pace, progress=progress)
            made = built.variant is not None
            standing.built(built)
            save()
        if made and step.scheme is None:
            steps += from_optimized(steps, step.name)


def _made(
    step: Step,
    setting: Setting,
    *,
    clock: Clock,
    pace: Pace,
    progress: Callable[[int, int], None] | None,
) -> Built:
    needed_s = making_s(step, setting, pace)
    if not clock.has(needed_s):
        return Built(step, None, "not tried", f"it takes about {needed_s:.0f} s to make")
    try:
        return build(
            setting.path,
            step,
            data=setting.data,
            parent=setting.parent.name,
            wall_s=setting.wall_s,
            progress=clock.stopping(progress),
        )
    except TimeUp:
        return Built(step, None, "not tried", "time ran out while it was made")
