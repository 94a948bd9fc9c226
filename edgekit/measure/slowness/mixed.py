"""Which of a variant's nodes this machine computes faster in float: for whoever makes it again."""

from __future__ import annotations

from pathlib import Path

from edgekit.graph.summary import load_model
from edgekit.measure.bench import time_candidates
from edgekit.measure.feeds import timing_feed
from edgekit.measure.plan import Plan
from edgekit.measure.slowness.comparing import profiles_of
from edgekit.measure.slowness.leaving import left_in_float
from edgekit.measure.slowness.listing import listed
from edgekit.measure.slowness.running import with_owners
from edgekit.measure.slowness.values import LeftInFloat
from edgekit.measure.subjects import example, open_subject
from edgekit.measure.ways import How

_BRIEF = Plan(starts=2, rounds=3, turn_s=0.05, warm_up_s=0.1)


def faster_in_float(
    package: Path, variant: str, *, how: How, batch: int | None, wall_s: float
) -> LeftInFloat | None:
    """Run a variant and its parent under a profile, and name the nodes to leave in float.

    Args:
        package: the package's folder.
        variant: one that was made from a float one.
        how: how both run.
        batch: the rows of a call; 1, or the fewest that the model takes, for None.
        wall_s: how long loading one, or all runs, may take.

    Returns:
        The nodes, and what they would win; None where it is too little, or can't be told.

    Raises:
        ModelFileError, RunFailed, WorkerError: one can't be run.
    """
    subject = open_subject(package, variants=(variant,), wall_s=wall_s)
    feed, _, _ = timing_feed(subject.signature, example(subject), batch=batch)
    runs, _ = listed(subject, how, parent=None)
    one = next(one for one in runs if one.name == variant)
    source = next((other for other in runs if other.name == one.parent), None)
    if source is None:
        return None
    pair = [source, one]
    timings = time_candidates([each.candidate for each in pair], feed, plan=_BRIEF)
    timed = {each.label: each for each in timings.measurements}
    starts = {each.name: [start.rounds for start in timed[each.label].starts] for each in pair}
    ran = profiles_of(pair, feed, how=how, starts=starts, wall_s=wall_s)
    if not all(ran[each.name].nodes for each in pair):
        return None
    model = load_model(source.runs.file)
    before, after = (with_owners(ran[each.name], model, each.runs.file) for each in pair)
    return left_in_float(model, before, after, most=None)
