"""Which nodes carry a loss of accuracy: a bar a node, the costliest on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from edgekit.report.html.charts.rows import Line, named_axis, row_axes, sizes
from edgekit.report.html.svg import INKS, Drawing

_ROW = 34


class Bar(NamedTuple):
    """A node or a group: its share of the loss in 0..1, and what stands beside it."""

    label: str
    share: float
    said: str
    carries: bool


def shares(bars: Sequence[Bar], *, name: str, title: str) -> Drawing:
    """Draw what part of the noise each node brings; those that carry most of it stand out."""
    wide, narrow = sizes(len(bars), _ROW)
    return Drawing(
        name=name,
        title=title,
        description=" ".join(f"{bar.label}: {100 * bar.share:.1f} % of the loss." for bar in bars),
        draw=lambda figure, _: _draw(figure, bars),
        wide=wide,
        narrow=narrow,
    )


def _draw(figure: Figure, bars: Sequence[Bar]) -> None:
    lines = [Line(bar.label, bar.said, strong=bar.carries) for bar in bars]
    axes = row_axes(figure, lines, _ROW)
    for i, bar in enumerate(bars):
        axes.barh(
            i + 0.76,
            100 * bar.share,
            height=0.26,
            color=INKS["accent" if bar.carries else "first"],
            linewidth=0,
        )
    axes.set_xlim(0, max(100 * max(bar.share for bar in bars) * 1.04, 1e-9))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    named_axis(axes, "of the noise of all, each quantized alone")
