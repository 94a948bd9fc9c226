"""How right a candidate is, where that is known from another: quality is a matter of the numbers.

Threads, what they do between calls, and how far the graph is rewritten leave the numbers as they
are; a provider and its options say what it computes in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edgekit.measure.results import Quality
from edgekit.package.values import SessionChoice
from edgekit.tune.results import Tried
from edgekit.tune.ways import Way


def known_quality(
    way: Way, rows: Iterable[Tried], *, made: Mapping[str, Quality]
) -> Quality | None:
    """Say how right a candidate is, where that is known; of the rows that have some of its options,
    the one that has most of them tells.

    Args:
        way: the candidate.
        rows: who was tried so far.
        made: what was measured of variants on the processor when they were made, by name.
    """
    if _as_made(way) and way.variant in made:
        return made[way.variant]
    options = way.session.provider_options.items()
    alike = [row for row in _of_same(way, rows) if row.session.provider_options.items() <= options]
    nearest = max(alike, key=lambda row: len(row.session.provider_options), default=None)
    return nearest.quality if nearest is not None else None


def judged(way: Way, rows: Iterable[Tried], *, made: Mapping[str, Quality]) -> bool:
    """Tell whether the very numbers that a candidate computes in were judged already."""
    if _as_made(way) and way.variant in made:
        return True
    options = way.session.provider_options
    return any(row.session.provider_options == options for row in _of_same(way, rows))


def same_numbers(way: Way, other: Way) -> bool:
    """Tell whether two candidates compute the very same."""
    return way.variant == other.variant and _computing(way.session) == _computing(other.session)


def _of_same(way: Way, rows: Iterable[Tried]) -> list[Tried]:
    """List the rows with a quality that are of the same variant on the same provider."""
    same = (way.variant, way.session.provider)
    return [row for row in rows if row.quality and (row.variant, row.session.provider) == same]


def _as_made(way: Way) -> bool:
    """Tell whether a candidate computes as variants are judged when they are made."""
    return _computing(way.session) == _computing(SessionChoice())


def _computing(session: SessionChoice) -> tuple[str, dict[str, str]]:
    return session.provider, session.provider_options
