"""Why variants are as slow as they are, and how near the machine's limit that is."""

from __future__ import annotations

from edgekit.report import grids
from edgekit.report.evidence import Known
from edgekit.report.figures import count
from edgekit.report.html.charts.roofline import Reached, roofline
from edgekit.report.html.told.parts import Part, Section


def slowness(known: Known) -> Section | None:
    """List the reasons of every variant that is slower than its parent."""
    if known.explained is None:
        return None
    variants = known.explained.variants
    untold = tuple(f"{one.label}: {one.untold}." for one in variants if one.untold)
    if not any(one.reasons for one in variants):
        return None
    return Section(
        "why",
        "Why a variant isn't faster",
        "Read off each session's own profile and the graph that it really ran.",
        (Part("", table=grids.reasons_grid(known.explained)),),
        (*untold, *known.explained.notes),
    )


def machine_limit(known: Known) -> Section | None:
    """Show the machine's peaks, and which share of them variants reach."""
    if known.explained is None:
        return None
    peaks = known.explained.peaks
    slopes = {}
    if peaks.rates and peaks.memory_gb_s is not None:
        # No variant lies above the fastest cache: its limit has every node at a rate below that.
        slopes["fastest cache"] = max(peaks.rates.values())
        slopes["main memory"] = peaks.memory_gb_s
    roofs = {
        name: peak
        for name, peak in (("float32", peaks.float_gflops), ("int8", peaks.int8_gops))
        if peak
    }
    reached = [
        Reached(
            one.label,
            one.limit.operations / one.limit.bytes,
            one.limit.operations / one.p50_ms / 1e6,
            f"{100 * one.limit.share:.0f} % of the limit, bound by {one.limit.bound}",
        )
        for one in known.explained.variants
        if one.limit.operations and one.limit.bytes
    ]
    if not roofs or not reached or not slopes:
        return None
    drawing = roofline(reached, roofs, slopes, name="roofline")
    return Section(
        "roofline",
        "How near the limit of the machine",
        "A flat line is the fastest product that was measured here, a slope what its fastest cache "
        "and its main memory can bring. A variant far below all of them has something left to win; "
        "one that touches a flat line or the upper slope has not. The share of the limit, in the "
        "table, holds every node against the rate at which its own bytes come.",
        (Part("", drawing, grids.limits_grid(known.explained)),),
        (
            f"Peaks, with {count(peaks.threads, 'thread')} on {peaks.provider}: {peaks.how}.",
            *known.explained.notes,
        ),
    )
