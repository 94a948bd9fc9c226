"""How near variants come to what this machine can do: operations a second over operations a byte.

Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for multicore
architectures", Communications of the ACM 52 (2009).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edgekit.report.figures import digits
from edgekit.report.html.charts.labels import Named, label_points
from edgekit.report.html.charts.rows import NARROW, WIDE, bare, log_ticks, named_axis
from edgekit.report.html.svg import INKS, Drawing, Size


class Reached(NamedTuple):
    """A variant: its operations a byte, and how many of them it does a second (in 10^9)."""

    label: str
    per_byte: float
    gops: float
    said: str


def roofline(
    reached: Sequence[Reached],
    roofs: Mapping[str, float],
    slopes: Mapping[str, float],
    *,
    name: str,
) -> Drawing:
    """Draw the machine's limits and where variants are below them.

    Args:
        reached: the variants.
        roofs: the peaks of products in 10^9 operations a second, by name.
        slopes: how many 10^9 bytes a second are moved, by what moves them.
        name: what its ids begin with.
    """
    peaks = "; ".join(f"{label}: {digits(peak)} Gop/s" for label, peak in roofs.items())
    moved = "; ".join(f"{label}: {digits(rate)} GB/s" for label, rate in slopes.items())
    tips = {f"point-{i}": f"{one.label}: {one.said}." for i, one in enumerate(reached)}
    return Drawing(
        name=name,
        title="Roofline: what the machine can do, and what variants reach",
        description=f"{peaks}; {moved}. {' '.join(tips.values())}",
        draw=lambda figure, narrow: _draw(figure, reached, roofs, slopes, narrow=narrow),
        wide=Size(WIDE, 420),
        narrow=Size(NARROW, 400),
        tips=tips,
    )


def _draw(
    figure: Figure,
    reached: Sequence[Reached],
    roofs: Mapping[str, float],
    slopes: Mapping[str, float],
    *,
    narrow: bool,
) -> None:
    width, height = (float(n) * 72 for n in figure.get_size_inches())
    axes = figure.add_axes((62 / width, 44 / height, 1 - 76 / width, 1 - 56 / height))
    bare(axes)
    axes.grid(axis="y", color=INKS["rule"], linewidth=0.8)
    top = max(roofs.values())
    fastest, slowest = max(slopes.values()), min(slopes.values())
    ridge = top / slowest
    low = min([one.per_byte for one in reached] + [min(roofs.values()) / fastest]) / 4
    high = max([one.per_byte for one in reached] + [ridge]) * 4
    floor = min([one.gops for one in reached] + [top / 100]) / 3
    x = np.geomspace(low, high, 200)
    for place, (label, peak) in enumerate(sorted(roofs.items(), key=lambda roof: -roof[1])):
        ink = INKS["second" if place else "first"]
        axes.plot(
            x,
            np.minimum(peak, x * fastest),
            color=ink,
            linewidth=2,
            linestyle="-" if not place else (0, (6, 2)),
        )
        axes.text(
            high,
            peak * 1.06,
            f"{label}: {digits(peak)} Gop/s",
            ha="right",
            va="bottom",
            color=INKS["ink"],
            fontsize=11,
        )
    log_ticks(axes, low, high)
    log_ticks(axes, floor, top * 3, axis="y")
    slope = _slope(axes, low, fastest)
    for label, rate in slopes.items():
        if rate != fastest:
            below = x[x * rate <= top]
            axes.plot(below, below * rate, color=INKS["rule"], linewidth=2, zorder=1)
        start = max(low, floor / rate) * 1.25
        axes.text(
            start,
            start * rate * 1.25,
            f"{label}: {digits(rate)} GB/s",
            rotation=slope,
            rotation_mode="anchor",
            color=INKS["ink"],
            fontsize=11,
        )
    for i, one in enumerate(reached):
        axes.scatter(
            [one.per_byte], [one.gops], s=70, color=INKS["accent"], zorder=4, gid=f"point-{i}"
        )
    names = [Named(one.label, one.per_byte, one.gops) for one in reached]
    label_points(axes, names, letters=20 if narrow else 40)
    named_axis(axes, "operations a byte that is read or written")
    named_axis(axes, "10⁹ operations a second", axis="y")


def _slope(axes: Axes, low: float, copy_gb_s: float) -> float:
    """Find the angle at which the memory's line is drawn, in degrees."""
    (x0, y0), (x1, y1) = axes.transData.transform(
        [(low, low * copy_gb_s), (2 * low, 2 * low * copy_gb_s)]
    )
    return math.degrees(math.atan2(y1 - y0, x1 - x0))
