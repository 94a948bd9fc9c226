"""Names beside points, where they find room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from edgekit.report.html.charts.rows import shortened
from edgekit.report.html.svg import INKS

_LINE_PX, _LETTER_PX, _GAP_PX, _MARK_PX = 15.0, 6.7, 13.0, 9.0
_LINES = 6
"""How many lines away from its point a name may stand."""


class Named(NamedTuple):
    """A point in the axes' own units, its name, and how the name is written."""

    label: str
    x: float
    y: float
    strong: bool = False
    soft: bool = False


def label_points(axes: Axes, points: Sequence[Named], *, letters: int) -> None:
    """Write the names, the first points' first; one that finds no room goes without, and is told by
    its tip and by the table below.

    Args:
        axes: limits and scales must be set.
        points: what is named, in the order in which places are given away.
        letters: how long a name may be.
    """
    box = axes.get_window_extent()
    at = [axes.transData.transform((point.x, point.y)) for point in points]
    taken = [(y, x - _MARK_PX, x + _MARK_PX) for x, y in at]
    for point, (x, y) in zip(points, at, strict=True):
        text = shortened(point.label, letters)
        width = _LETTER_PX * len(text) * (1.12 if point.strong else 1.0)
        places = [
            (shift, side)
            for n in range(_LINES)
            for shift in ({n * _LINE_PX, -n * _LINE_PX} if n else {0.0})
            for side in ("left", "right")
        ]
        for shift, side in sorted(places, key=lambda p: (abs(p[0]), p[1] == "right", -p[0])):
            begin = x + _GAP_PX if side == "left" else x - _GAP_PX - width
            free = all(
                abs(y + shift - other) >= _LINE_PX - 1 or begin + width < low or begin > high
                for other, low, high in taken
            )
            inside = box.x0 <= begin and begin + width <= box.x1 + _GAP_PX
            if free and inside and box.y0 < y + shift < box.y1:
                taken.append((y + shift, begin, begin + width))
                axes.annotate(
                    text,
                    (point.x, point.y),
                    xytext=(_GAP_PX if side == "left" else -_GAP_PX, shift),
                    textcoords="offset points",
                    ha=side,
                    va="center",
                    color=INKS["soft" if point.soft else "ink"],
                    fontsize=11,
                    fontweight="bold" if point.strong else "normal",
                    annotation_clip=False,
                )
                break
