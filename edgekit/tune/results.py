"""What tuning leaves: every candidate with what became of it, what won, and the raw samples."""

from __future__ import annotations

import msgspec

from edgekit.budgets import Budget, Verdict
from edgekit.machine import Machine
from edgekit.measure.results import Bench, Quality
from edgekit.metrics import Estimate
from edgekit.package.values import Choice, SessionChoice
from edgekit.shown import Shown
from edgekit.terms import Outcome, Undecided

SCHEMA_VERSION = 1


class Tried(msgspec.Struct, frozen=True):
    """One candidate: a variant and a way to run it, and what became of it.

    `speedup` is against the float variant in its usual session, in the same rounds of the last race
    that it ran in, whose number is `stage` (0 where it ran in none). `p50_ms` is what was measured
    in the search's last race; for those that weren't in it, the float variant's there divided by
    their speedup, since a machine's speed changes from minute to minute.
    `quality` is against the original. `on_front` says that none is faster, more accurate and
    smaller at once, `reused` that it was taken over from an earlier, interrupted search.
    """

    label: str
    variant: str
    session: SessionChoice
    outcome: Outcome
    reason: str
    stage: int = 0
    p50_ms: Estimate | None = None
    speedup: Estimate | None = None
    quality: Quality | None = None
    verdicts: tuple[Verdict, ...] = ()
    size_bytes: int | None = None
    on_front: bool = False
    reused: bool = False


class Tuned(Shown, msgspec.Struct, frozen=True):
    """What was tried of a package on one kind of machine, and what won.

    `baseline` is the label of the float variant in its usual session. `winner` is what
    `edgekit.load` takes here, `by_provider` the best on each provider, by its name; `why` says why
    in a sentence. `races` has the raw samples of every race, the last one last. `finished` is False
    where time ran out or it was interrupted. `files` holds the SHA-256 of the variants' files, as a
    bench has them, and `data_sha256` is that of the cases that accuracy was measured on. `made`
    names the variants that the search added, those that it took out again among them.
    """

    package: str
    machine: Machine
    speed_key: str
    budgets: tuple[Budget, ...]
    undecided: Undecided
    baseline: str
    batch: int
    sizes: dict[str, int]
    tried: tuple[Tried, ...]
    winner: Choice
    by_provider: dict[str, Choice]
    why: str
    took_s: float
    time_limit_s: float | None
    finished: bool
    data_sha256: str
    notes: tuple[str, ...] = ()
    files: dict[str, str] = {}
    made: tuple[str, ...] = ()
    races: tuple[Bench, ...] = ()
    schema_version: int = SCHEMA_VERSION
