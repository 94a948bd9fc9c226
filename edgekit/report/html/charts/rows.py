"""A chart of rows: a label over each mark, so that long names leave the marks their width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from edgekit.report.figures import digits
from edgekit.report.html.svg import INKS, Size
from edgekit.report.text import printable

WIDE, NARROW = 820, 360
_TOP, _BOTTOM, _SIDE = 4, 40, 10
_LETTER = 7.4
"""The width that is reckoned for a letter of a label, in pixels."""


class Line(NamedTuple):
    """A row: what it is called, and what stands at its right end; `strong` is what was chosen."""

    label: str
    said: str
    strong: bool = False


def sizes(rows: int, row_px: int) -> tuple[Size, Size]:
    """Say how large a chart of so many rows is, for a desk and for a phone."""
    height = _TOP + rows * row_px + _BOTTOM
    return Size(WIDE, height), Size(NARROW, height)


def row_axes(figure: Figure, lines: Sequence[Line], row_px: int) -> Axes:
    """Make axes with a row a line, the first on top: row i spans i to i + 1, its label above what
    is drawn in it."""
    width, height = (float(n) * 72 for n in figure.get_size_inches())
    axes = figure.add_axes(
        (_SIDE / width, _BOTTOM / height, 1 - 2 * _SIDE / width, 1 - (_TOP + _BOTTOM) / height)
    )
    axes.set_ylim(len(lines), 0)
    axes.yaxis.set_major_locator(NullLocator())
    bare(axes)
    room = int((width - 2 * _SIDE) / _LETTER)
    for i, line in enumerate(lines):
        weight = "bold" if line.strong else "normal"
        axes.text(
            0.0,
            i + 13 / row_px,
            shortened(line.label, room - len(line.said) - 2),
            transform=axes.get_yaxis_transform(),
            color=INKS["ink"],
            fontweight=weight,
            va="center",
        )
        axes.text(
            1.0,
            i + 13 / row_px,
            line.said,
            transform=axes.get_yaxis_transform(),
            color=INKS["ink" if line.strong else "soft"],
            fontweight=weight,
            va="center",
            ha="right",
        )
    return axes


def bare(axes: Axes) -> None:
    """Leave of an axes' frame the line below, and faint vertical rules behind the marks."""
    axes.set_axisbelow(True)
    axes.patch.set_visible(False)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(INKS["rule"])
    axes.grid(axis="x", color=INKS["rule"], linewidth=0.8)
    axes.tick_params(
        axis="both", which="both", length=0, labelcolor=INKS["soft"], labelsize=11, pad=5
    )


def named_axis(axes: Axes, name: str, *, axis: str = "x") -> None:
    """Name an axis, with its unit."""
    (axes.set_xlabel if axis == "x" else axes.set_ylabel)(name, color=INKS["soft"], fontsize=11)


def log_ticks(axes: Axes, low: float, high: float, *, axis: str = "x") -> None:
    """Make an axis logarithmic from `low` to `high`, with numbers as people read them."""
    scale, limits, one = (
        (axes.set_xscale, axes.set_xlim, axes.xaxis)
        if axis == "x"
        else (axes.set_yscale, axes.set_ylim, axes.yaxis)
    )
    scale("log")
    limits(low, high)
    spread = high / low
    subs = (1.0, 2.0, 5.0) if spread < 80 else (1.0, 3.0) if spread < 2000 else (1.0,)
    one.set_major_locator(LogLocator(subs=subs, numticks=12))
    one.set_minor_locator(NullLocator())
    one.set_minor_formatter(NullFormatter())
    one.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def short(value: float) -> str:
    """Write a tick's number without zeros that say nothing."""
    written = digits(value)
    return written.rstrip("0").rstrip(".") if "." in written else written


def shortened(text: str, letters: int) -> str:
    """Cut a name to so many letters; the table below a chart has it whole."""
    clean = printable(text).replace("\n", " ")
    return clean if len(clean) <= max(letters, 8) else f"{clean[: max(letters, 8) - 1]}…"
