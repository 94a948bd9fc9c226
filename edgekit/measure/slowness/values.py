"""What an explanation says: plain values, readable without `onnx`."""

from __future__ import annotations

import msgspec

from edgekit.machine import Machine
from edgekit.measure.roofline.limits import Limit, Peaks
from edgekit.metrics import Estimate
from edgekit.shown import Shown
from edgekit.terms import Bound, SlowReason

SCHEMA_VERSION = 1


class Reason(msgspec.Struct, frozen=True):
    """Why a variant is slower than its float parent: a sentence, the nodes that it is about, and
    how many µs a run that is; None where the reason takes no time of its own."""

    kind: SlowReason
    sentence: str
    nodes: tuple[str, ...]
    us: float | None


class LeftInFloat(msgspec.Struct, frozen=True):
    """The float model's nodes that a variant would be faster with in float, in the graph's order,
    and how many µs a run that would win at least, by what they take in both.

    `options` is what `edgekit quantize` has to be told to leave them in float; "" where a variant
    isn't one that it made. It is an estimate: nothing was run.
    """

    nodes: tuple[str, ...]
    us: float
    options: str = ""


class ExplainedNode(msgspec.Struct, frozen=True):
    """A node as it ran: its time in µs, what it does, and the share of its own limit.

    `name` and `operator` are those that ONNX Runtime gave it, `of` is the float model's node that
    it stands for, where that is known. `operations`, `bytes`, `gops` (10^9 operations a second),
    `share` and `bound` are None where its work isn't known; `share` also where it has no limit.
    """

    name: str
    operator: str
    provider: str
    us: float
    of: str = ""
    operations: int | None = None
    bytes: int | None = None
    gops: float | None = None
    share: float | None = None
    bound: Bound | None = None


class VariantExplained(msgspec.Struct, frozen=True):
    """How fast a variant is, which share of its limit that is, and why it isn't faster.

    `parent` is the variant that it was made from, None where there is none; `speedup` is against
    it, with a 95 % interval. `reasons` come with the most expensive first. Their µs, less what
    `gained_us` says that other nodes gain, make up what it is slower; `slower` says that it is, by
    more than the interval. `nodes` is how many ran, None where the provider tells of none, as
    `untold` says in words. `leave` names what it would be faster with in float; None where there is
    no such thing.
    """

    variant: str
    label: str
    p50_ms: float
    parent: str | None
    parent_ms: float | None
    speedup: Estimate | None
    slower: bool
    reasons: tuple[Reason, ...]
    gained_us: float
    limit: Limit
    top_nodes: tuple[ExplainedNode, ...]
    nodes: int | None = None
    untold: str = ""
    leave: LeftInFloat | None = None


class Explained(Shown, msgspec.Struct, frozen=True):
    """What `edgekit explain --json` prints, and what is kept of it beside a package.

    `files` has the SHA-256 of the variants' files, `sizes` those of named dimensions, `took_s` how
    long it all took.
    """

    package: str
    machine: Machine
    speed_key: str
    batch: int
    sizes: dict[str, int]
    peaks: Peaks
    variants: tuple[VariantExplained, ...]
    files: dict[str, str]
    notes: tuple[str, ...]
    took_s: float
    schema_version: int = SCHEMA_VERSION
