"""Profiles of variants and of their float parents, side by side: what `explain` makes of them."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgekit.graph.inferred import weights_bytes
from edgekit.graph.summary import load_model
from edgekit.graph.work import work_of
from edgekit.measure.roofline.limits import Limit, Peaks, bound_of, limit_of, parts_us
from edgekit.measure.slowness.leaving import left_in_float, quantize_options
from edgekit.measure.slowness.ledger import added_nodes, ledger
from edgekit.measure.slowness.listing import Listed
from edgekit.measure.slowness.reasons import memory_bound, reasons_of, too_small
from edgekit.measure.slowness.running import RanNode, RanVariant, run_profiled, with_owners
from edgekit.measure.slowness.sentences import Difference
from edgekit.measure.slowness.values import (
    ExplainedNode,
    LeftInFloat,
    Reason,
    VariantExplained,
)
from edgekit.measure.statistics import p50_ms, speedup
from edgekit.measure.ways import How
from edgekit.metrics import Estimate
from edgekit.tensors import Feed

log = logging.getLogger("edgekit")

_WORTH = 0.97
"""Below this ratio to the parent's speed there is something to explain."""
_RESOLVED_US, _SURE_US = 2.0, 10.0
"""A profile counts in whole µs, and what it adds itself is taken off: of what takes less than the
one, no rate and no share can be told, and above its limit only what takes longer than the other."""
_TOO_FAST = 1.02
"""From this share of its limit on, something was faster than the limit, and not by the timing."""


def profiles_of(
    runs: Sequence[Listed], feed: Feed, *, how: How, starts: Mapping[str, Any], wall_s: float
) -> dict[str, RanVariant]:
    """Run every variant and its parent under a profile; return them by their names.

    Args:
        runs: what is explained, and the parents of that.
        feed: what goes in.
        how: how they run.
        starts: what runs took without a profile, in rounds of fresh processes, by the name.
        wall_s: how long loading one, or all runs, may take.

    Raises:
        ModelFileError, RunFailed, WorkerError: one can't be run.
    """
    ran: dict[str, RanVariant] = {}
    with tempfile.TemporaryDirectory(prefix="edgekit-explain-") as folder:
        for one in runs:
            log.info("profiling %s", one.label)
            ran[one.name] = run_profiled(
                one.runs,
                feed,
                how=how,
                p50_ms=p50_ms(starts[one.name]),
                scratch=Path(folder),
                wall_s=wall_s,
            )
    return ran


def working_set(runs: Sequence[Listed], ran: Mapping[str, RanVariant]) -> int:
    """Tell how many bytes the largest of some models lies in: weights, and the largest values."""
    return max(weights_bytes(one.runs.file) + _largest(ran[one.name]) for one in runs)


def compare_profiles(
    runs: Sequence[Listed],
    ran: Mapping[str, RanVariant],
    *,
    how: How,
    starts: Mapping[str, Any],
    peaks: Peaks,
    asked: bool,
) -> list[VariantExplained]:
    """Compare what ran with its parent, and with what the machine can do.

    Args:
        runs: what is explained, and the parents of that.
        ran: their nodes, by the name.
        how: how they ran.
        starts: what runs took without a profile, in rounds of fresh processes, by the name.
        peaks: what this machine can do.
        asked: tell of the differences also where a variant is faster.
    """
    by_name = {one.name: one for one in runs}
    found = []
    for one in runs:
        if not one.asked:
            continue
        own = ran[one.name]
        source = by_name.get(one.parent) if one.parent else None
        took_us = 1e3 * p50_ms(starts[one.name])
        ratio = speedup(starts[source.name], starts[one.name]) if source else None
        reasons: list[Reason] = []
        gained, leave = 0.0, None
        model = load_model((source or one).runs.file)
        own = before = with_owners(own, model, one.runs.file)
        if source is not None and own.nodes and ran[source.name].nodes:
            before = with_owners(ran[source.name], model, source.runs.file)
            parent_us = 1e3 * p50_ms(starts[source.name])
            if not how.provider.device:  # whose profile has only the time of starting a kernel
                leave = left_in_float(model, before, own, longer_us=took_us - parent_us)
            if leave is not None and one.recipe is not None:
                options = quantize_options(one.recipe, leave.nodes, name=one.name, of=one.made_from)
                leave = msgspec.structs.replace(leave, options=options)
            if asked or (ratio is not None and ratio.value < _WORTH):
                entries = ledger(model, before, own, ort_name=how.provider.ort_name)
                more = len(own.nodes) - len(before.nodes)
                reasons, gained = reasons_of(
                    entries, Difference(took_us, parent_us, one.name, source.name, more)
                )
                reasons += filter(None, (memory_bound(own, peaks), too_small(own, peaks)))
        added = added_nodes(model, before, own)
        told = _Told(took_us, ratio, reasons, gained, added, leave)
        found.append(_variant(one, own, peaks, source=source, told=told, starts=starts))
    return found


def too_fast(found: Sequence[VariantExplained]) -> list[str]:
    """Name what was faster than its limit, which proves that a peak is too low: variants, and
    nodes of theirs."""
    return [
        *(one.label for one in found if one.limit.share > _TOO_FAST),
        *(
            f"{node.name} of {one.variant}"
            for one in found
            for node in one.top_nodes
            if node.share is not None and node.share > _TOO_FAST
        ),
    ]


class _Told(msgspec.Struct, frozen=True):
    """What was found of a variant: its time, how it compares, and which nodes aren't the model's
    own."""

    took_us: float
    ratio: Estimate | None
    reasons: list[Reason]
    gained: float
    added: frozenset[int]
    leave: LeftInFloat | None


def _variant(
    one: Listed,
    own: RanVariant,
    peaks: Peaks,
    *,
    source: Listed | None,
    told: _Told,
    starts: Mapping[str, Any],
) -> VariantExplained:
    return VariantExplained(
        variant=one.name,
        label=one.label,
        p50_ms=told.took_us / 1e3,
        parent=source.name if source else None,
        parent_ms=p50_ms(starts[source.name]) if source else None,
        speedup=told.ratio,
        slower=told.ratio is not None and told.ratio.high < 1,
        reasons=tuple(told.reasons),
        gained_us=told.gained,
        limit=_limit(own, peaks, told),
        top_nodes=tuple(_node(node, peaks) for node in sorted(own.nodes, key=lambda n: -n.us)),
        nodes=len(own.nodes) if own.nodes else None,
        untold=own.untold,
        leave=told.leave,
    )


def _limit(own: RanVariant, peaks: Peaks, told: _Told) -> Limit:
    nodes = [
        (f"{node.kernel.name} ({node.kernel.operator})", node.work)
        for place, node in enumerate(own.nodes)
        if place not in told.added
    ] or [(f"{n.name} ({n.operator})", work_of(n)) for n in own.inferred]
    return limit_of(
        [work for _, work in nodes if work is not None],
        peaks,
        took_ms=told.took_us / 1e3,
        uncounted=[name for name, work in nodes if work is None],
    )


def _node(node: RanNode, peaks: Peaks) -> ExplainedNode:
    work = node.work
    kernel = node.kernel
    parts = parts_us(work, peaks) if work is not None else (0.0, 0.0)
    least = max(parts)
    told = node.us >= _RESOLVED_US and (node.us >= _SURE_US or least <= node.us)
    return ExplainedNode(
        name=kernel.name,
        operator=kernel.operator,
        provider=kernel.provider,
        us=node.us,
        of=node.owner.label if node.owner else "",
        operations=work.operations if work else None,
        bytes=work.bytes if work else None,
        gops=work.operations / node.us / 1e3 if work and told else None,
        share=least / node.us if work and told and least else None,
        bound=bound_of(work, peaks) if work and least else None,
    )


def _largest(own: RanVariant) -> int:
    """Tell how many bytes the values of the largest node take: weights lie beside them."""
    nodes = [node.loaded.sized for node in own.nodes] or list(own.inferred)
    return max(
        (sum(one.nbytes for one in (*n.inputs[:1], *n.outputs) if one) for n in nodes), default=0
    )
