"""What `optimize` found out: which pass rewrote what, whether it is equal, and whether it pays."""

from __future__ import annotations

import msgspec

from edgekit.measure.results import Bench
from edgekit.metrics import Estimate
from edgekit.package.values import Variant
from edgekit.terms import Pass, PassFate


class Tried(msgspec.Struct, frozen=True):
    """One pass: what it made of the model as the passes before it had left it.

    `nodes_before` and `nodes_after` count the nodes of the graph. `max_abs_error` is the furthest
    that an answer to a reference case lay from the one of the model before the pass, in the
    output's own unit. `speedup` is against that model too, in interleaved rounds. `reason` is a
    sentence without its dot. What was not measured is None.
    """

    name: Pass
    fate: PassFate
    reason: str
    nodes_before: int
    nodes_after: int
    max_abs_error: float | None = None
    speedup: Estimate | None = None


class Optimized(msgspec.Struct, frozen=True):
    """What became of every pass, and the variant that the kept ones made: None where none was kept.

    `speedup` is the variant's against `parent`, measured at the end over all of them together.
    `sizes` are those of the dimensions that it is fixed to, and `timed_at` those of the timed
    calls. `races` has the raw samples: one for each pass that was timed and, where several were
    kept, one over all of them.
    """

    parent: str
    tried: tuple[Tried, ...]
    variant: Variant | None
    size_bytes: int | None
    parent_bytes: int
    timed_at: dict[str, int]
    cases: int
    sizes: dict[str, int] = {}
    speedup: Estimate | None = None
    machine: str = ""
    notes: tuple[str, ...] = ()
    races: tuple[Bench, ...] = ()

    @property
    def kept(self) -> tuple[Pass, ...]:
        """The passes that made the variant, in their order."""
        return tuple(one.name for one in self.tried if one.fate == "kept")
