"""How often a model's values go from one memory to another, counted before it is timed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edgekit.measure.plan import Candidate
from edgekit.measure.results import Measurement
from edgekit.providers import ProviderInfo
from edgekit.tensors import Feed
from edgekit.workers import Call, Worker


def profiled(call: Call, feed: Feed, provider: ProviderInfo) -> Call | None:
    """Write the call that also runs a variant once under a profile, and tells of copies.

    None where there is nothing to count: in the processor's memory a provider copies nothing.
    """
    if not provider.device:
        return None
    asked = {**call.arguments, "arrays": "host", "profiled": dict(feed)}
    return msgspec.structs.replace(call, arguments=asked)


def count_copies(
    candidates: Sequence[Candidate], feed: Feed, provider: ProviderInfo, *, wall_s: float
) -> dict[str, int]:
    """Run each candidate once under a profile, in a worker of its own, and count nodes that copy.

    Args:
        candidates: variants on the provider, not originals.
        feed: arrays that each of them takes.
        provider: what they run on.
        wall_s: how long loading one, and its run, may take.

    Returns:
        How many, by label, where that is counted.
    """
    counted = {}
    for one in candidates:
        call = profiled(one.call, feed, provider)
        if call is None:
            continue
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
