"""How often a model's values go from one memory to another, counted before it is timed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edgekit.measure.plan import Candidate
from edgekit.measure.results import Measurement
from edgekit.providers import ProviderInfo
from edgekit.tensors import Feed
from edgekit.workers import Worker


def count_copies(
    candidates: Sequence[Candidate], feed: Feed, provider: ProviderInfo, *, wall_s: float
) -> dict[str, int]:
    """Run each candidate once under a profile, in a worker of its own, and count nodes that copy.

    Args:
        candidates: variants on the provider, not originals.
        feed: arrays that each of them takes.
        provider: what they run on; one that works in the processor's memory copies nothing, and
            one that compiles a model would do so again for this: neither is counted.
        wall_s: how long loading one, and its run, may take.

    Returns:
        How many, by label.
    """
    if not provider.device or provider.builds:
        return {}
    counted = {}
    for one in candidates:
        asked = {**one.call.arguments, "arrays": "host", "profiled": dict(feed)}
        call = msgspec.structs.replace(one.call, arguments=asked)
        with Worker(one.label, wall_s=wall_s, environment=call.environment) as worker:
            copies = worker.open(call).facts.copies
        if copies is not None:
            counted[one.label] = copies
    return counted


def with_copies(measured: Sequence[Measurement], counted: dict[str, int]) -> list[Measurement]:
    """Put what was counted into the facts of those that were measured."""
    return [
        msgspec.structs.replace(
            one, facts=msgspec.structs.replace(one.facts, copies=counted[one.label])
        )
        if one.label in counted
        else one
        for one in measured
    ]
