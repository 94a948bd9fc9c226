"""What a report tells, in the order in which a stranger asks."""

from __future__ import annotations

from collections.abc import Callable

from edgekit.report.evidence import Known
from edgekit.report.html.told.limits import machine_limit, slowness
from edgekit.report.html.told.loss import accuracy, sensitivity
from edgekit.report.html.told.parts import Section
from edgekit.report.html.told.speed import front, latencies
from edgekit.report.html.told.surroundings import environment, how_measured, rejected

_TELLERS: tuple[Callable[[Known], Section | None], ...] = (
    latencies,
    front,
    accuracy,
    slowness,
    machine_limit,
    sensitivity,
    rejected,
    environment,
    how_measured,
)


def sections(known: Known) -> tuple[Section, ...]:
    """Tell what is known, a section each; what isn't known has none."""
    return tuple(section for tell in _TELLERS if (section := tell(known)) is not None)
