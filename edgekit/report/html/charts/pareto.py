"""Latency against accuracy: what is worth having, and what something else beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from edgekit.metrics import Estimate
from edgekit.report.figures import digits, size
from edgekit.report.html.charts.labels import Named, label_points
from edgekit.report.html.charts.rows import NARROW, WIDE, bare, log_ticks, named_axis
from edgekit.report.html.svg import INKS, Drawing, Size

_HEIGHT = {False: 440, True: 400}


class Point(NamedTuple):
    """A candidate: its latency, its accuracy with an interval, its size, and how it is drawn.

    `role` is an ink; one that isn't `inside` the budget is drawn hollow.
    """

    label: str
    p50_ms: float
    worth: Estimate
    size_bytes: int | None
    role: str
    on_front: bool
    inside: bool = True


def pareto(points: Sequence[Point], *, name: str, measure: str, percent: bool) -> Drawing:
    """Draw candidates by latency and by what their answers are worth, the front as a line.

    Args:
        points: what to draw.
        name: what its ids begin with.
        measure: what the upright axis is, in words.
        percent: whether it is a share, written in percent.
    """
    tips = {f"point-{i}": _tip(point, measure, percent) for i, point in enumerate(points)}
    front = ", ".join(p.label for p in sorted(points, key=lambda p: p.p50_ms) if p.on_front)
    return Drawing(
        name=name,
        title=f"Latency against {measure}",
        description=" ".join(tips.values()) + (f" On the front: {front}." if front else ""),
        draw=lambda figure, narrow: _draw(figure, points, measure, percent=percent, narrow=narrow),
        wide=Size(WIDE, _HEIGHT[False]),
        narrow=Size(NARROW, _HEIGHT[True]),
        tips=tips,
    )


def _draw(
    figure: Figure, points: Sequence[Point], measure: str, *, percent: bool, narrow: bool
) -> None:
    width, height = (float(n) * 72 for n in figure.get_size_inches())
    left = 62
    axes = figure.add_axes(
        (left / width, 44 / height, 1 - (left + 14) / width, 1 - (44 + 12) / height)
    )
    bare(axes)
    axes.grid(axis="y", color=INKS["rule"], linewidth=0.8)
    low, high = min(p.p50_ms for p in points), max(p.p50_ms for p in points)
    spread = max(high / low, 1.3)
    log_ticks(axes, low / spread**0.12, low * spread**1.12)
    _upright(axes, points, percent=percent)
    named_axis(axes, "p50, ms a call  (← faster)")
    named_axis(axes, f"{measure}  (better →)", axis="y")
    front = sorted((p for p in points if p.on_front), key=lambda p: p.p50_ms)
    axes.step(
        [p.p50_ms for p in front],
        [p.worth.value for p in front],
        where="post",
        color=INKS["accent"],
        linewidth=1.4,
        linestyle=(0, (4, 3)),
        zorder=1,
    )
    biggest = max((p.size_bytes or 0 for p in points), default=0)
    for i, point in enumerate(points):
        ink = INKS[point.role]
        axes.plot(
            [point.p50_ms] * 2,
            [point.worth.low, point.worth.high],
            color=ink,
            alpha=0.35,
            linewidth=1.2,
            zorder=2,
        )
        axes.scatter(
            [point.p50_ms],
            [point.worth.value],
            s=60 + 340 * (point.size_bytes or 0) / biggest if biggest else 90,
            marker="o" if point.size_bytes is not None else "D",
            facecolor=ink if point.inside else INKS["paper"],
            edgecolor=ink,
            linewidths=1.6,
            alpha=0.85,
            zorder=4 if point.role == "accent" else 3,
            gid=f"point-{i}",
        )
    order = sorted(points, key=lambda p: (p.role != "accent", not p.on_front, p.p50_ms))
    label_points(
        axes,
        [
            Named(p.label, p.p50_ms, p.worth.value, p.role == "accent", not p.on_front)
            for p in order
        ],
        letters=20 if narrow else 40,
    )


def _upright(axes: Axes, points: Sequence[Point], *, percent: bool) -> None:
    low, high = min(p.worth.low for p in points), max(p.worth.high for p in points)
    margin = max((high - low) * 0.12, 1e-4)
    axes.set_ylim(low - margin, high + margin)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    if percent:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))
    else:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.5g}"))


def _tip(point: Point, measure: str, percent: bool) -> str:
    worth = f"{100 * point.worth.value:.2f} %" if percent else f"{point.worth.value:.6f}"
    large = "" if point.size_bytes is None else f", {size(point.size_bytes)}"
    outside = "" if point.inside else ", outside the budget"
    return f"{point.label}: {digits(point.p50_ms)} ms, {measure} {worth}{large}{outside}."
