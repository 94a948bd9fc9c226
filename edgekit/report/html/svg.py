"""Turn a matplotlib figure into SVG that belongs to a page: its colours, its fonts, its words.

Matplotlib writes colours and fonts into `style` attributes. Each different style becomes a class of
the page's one style sheet, so that the page may forbid every other style, and each colour of
`INKS` becomes a CSS variable, so that one drawing is right in light and in dark.
"""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from edgekit.report.text import printable

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_POINTS_PER_INCH = 72  # an SVG of matplotlib's has one unit a point

INKS = {
    "ink": "#010001",  # text
    "soft": "#020001",  # text that stands back
    "rule": "#030001",  # grid lines and axes
    "paper": "#040001",  # what lies behind
    "first": "#050001",  # what is told of
    "second": "#060001",  # what it is told beside
    "accent": "#070001",  # what was chosen
    "warn": "#080001",  # a limit, and what broke it
}
"""The colours that a drawing may use, by the CSS variable that stands for each."""

_OF = {colour: name for name, colour in INKS.items()}
_PLAIN = {
    "font.family": "DejaVu Sans",  # matplotlib brings it along, so widths are the same anywhere
    "font.size": 12.0,
    "svg.fonttype": "none",
    "svg.hashsalt": "edgekit",
    "text.parse_math": False,  # a name may hold a dollar sign
    "axes.unicode_minus": True,
    "path.simplify": False,
}

Draw = Callable[[Figure, bool], None]
"""Draws into a figure; told whether it is the narrow one, for a phone."""


class Size(NamedTuple):
    """A figure's width and height in CSS pixels."""

    width: int
    height: int


class Drawing(NamedTuple):
    """What to draw, how large for a desk and for a phone, and what it shows, in words.

    `tips` are what a pointer reads over an artist, by the artist's gid.
    """

    name: str
    title: str
    description: str
    draw: Draw
    wide: Size
    narrow: Size
    tips: Mapping[str, str] = {}


class Sheet:
    """The styles that drawings have needed so far, each with the name of its class."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def name_of(self, style: str) -> str:
        """Return the class that stands for a style, the same for the same."""
        return self._names.setdefault(_declarations(style), f"p{len(self._names)}")

    def css(self) -> str:
        """Write a rule a class."""
        return "\n".join(f".{name}{{{style}}}" for style, name in self._names.items())


def rendered(drawing: Drawing, sheet: Sheet) -> tuple[str, str]:
    """Render a drawing for a desk and for a phone, each as an `<svg>` element."""
    return (
        _render(drawing, sheet, drawing.wide, narrow=False),
        _render(drawing, sheet, drawing.narrow, narrow=True),
    )


def _render(drawing: Drawing, sheet: Sheet, size: Size, *, narrow: bool) -> str:
    # Whoever has a matplotlibrc of his own gets the same page as everyone.
    settings: dict[Any, Any] = dict(matplotlib.rcParamsDefault)
    settings = {k: v for k, v in settings.items() if "backend" not in k} | _PLAIN
    written = io.BytesIO()
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # The browser has fonts for letters that matplotlib's own lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        inches = (size.width / _POINTS_PER_INCH, size.height / _POINTS_PER_INCH)
        figure = Figure(figsize=inches, dpi=_POINTS_PER_INCH)
        FigureCanvasSVG(figure)
        drawing.draw(figure, narrow)
        figure.savefig(
            written, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    prefix = f"{drawing.name}-{'narrow' if narrow else 'wide'}"
    return _belonging(written.getvalue(), drawing, sheet, prefix=prefix)


def _belonging(content: bytes, drawing: Drawing, sheet: Sheet, *, prefix: str) -> str:
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ET.fromstring(content)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{{{_SVG}}}style" or child.tag.endswith("}metadata"):
                parent.remove(child)
    for element in root.iter():
        if style := element.attrib.pop("style", None):
            element.set("class", sheet.name_of(style))
        if tip := drawing.tips.get(element.get("id", "")):
            ET.SubElement(element, f"{{{_SVG}}}title").text = printable(tip)
        _rename(element, prefix)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {
        "class": "wide" if prefix.endswith("wide") else "narrow",
        "role": "img",
        "aria-labelledby": f"{prefix}-title {prefix}-description",
    }
    for place, (name, text) in enumerate(
        {"title": drawing.title, "desc": drawing.description}.items()
    ):
        said = ET.Element(f"{{{_SVG}}}{name}")
        said.set("id", f"{prefix}-{'title' if name == 'title' else 'description'}")
        said.text = printable(text)
        root.insert(place, said)
    return ET.tostring(root, encoding="unicode")


def _rename(element: ET.Element, prefix: str) -> None:
    """Give ids and what refers to them the drawing's name: a page has many drawings."""
    for name, value in list(element.attrib.items()):
        if name == "id":
            element.set(name, f"{prefix}-{value}")
        elif name == _XLINK:
            element.set(name, value.replace("#", f"#{prefix}-"))
        elif "url(#" in value:
            element.set(name, value.replace("url(#", f"url(#{prefix}-"))


def _declarations(style: str) -> str:
    """Write a style of matplotlib's as one of the page's: variables for colours, its own fonts."""
    kept = []
    for declaration in filter(None, (part.strip() for part in style.split(";"))):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font":
            size = re.search(r"([\d.]+)px", value)
            weight = re.search(r"\b([67]00|bold)\b", value)
            kept += [f"font-size:{size[1]}px"] if size else []
            kept += ["font-weight:700"] if weight else []
        elif name != "font-family":
            kept.append(f"{name}:{_coloured(value)}")
    return ";".join(kept)


def _coloured(value: str) -> str:
    return f"var(--{_OF[value]})" if value in _OF else value
