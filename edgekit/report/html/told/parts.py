"""What a section of a report is made of."""

from __future__ import annotations

from typing import NamedTuple

from edgekit.report.candidates import Candidate
from edgekit.report.html.svg import Drawing
from edgekit.report.plain import Grid

TOP = 20
"""How many rows a chart shows at most; tables and the raw data have more."""


class Part(NamedTuple):
    """A heading inside a section, with a drawing or a table or both; `caption` reads below the
    drawing, `remarks` below all."""

    title: str
    drawing: Drawing | None = None
    table: Grid | None = None
    caption: str = ""
    remarks: tuple[str, ...] = ()


class Section(NamedTuple):
    """A section: its anchor, its heading, what it says in a sentence, its parts, and remarks."""

    anchor: str
    title: str
    lede: str
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()


def role(candidate: Candidate) -> str:
    """Name the ink of `edgekit.report.html.svg.INKS` that a candidate is drawn in."""
    if candidate.is_original:
        return "second"
    if not candidate.inside:
        return "warn"
    return "accent" if candidate.outcome == "chosen" else "first"
