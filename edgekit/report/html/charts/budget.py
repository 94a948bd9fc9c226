"""What candidates lost, with its bounds, against what they may lose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from edgekit.metrics import Estimate
from edgekit.report.html.charts.rows import Line, named_axis, row_axes, sizes
from edgekit.report.html.svg import INKS, Drawing
from edgekit.terms import BudgetMetric

_ROW = 46
_NAMES: dict[BudgetMetric, str] = {
    "drop": "drop in accuracy, percentage points",
    "agreement": "classes that stay the original's, percent",
    "cosine": "cosine to the original's answers",
}


class Lost(NamedTuple):
    """What one candidate lost: its estimate, with one-sided bounds of 95 % each, and an ink."""

    label: str
    estimate: Estimate
    role: str
    said: str


def against_budget(
    lost: Sequence[Lost], metric: BudgetMetric, *, limit: float | None, name: str
) -> Drawing:
    """Draw each candidate's loss with its bounds, and the budget as a line where there is one."""
    wide, narrow = sizes(len(lost), _ROW)
    scale = 1.0 if metric == "cosine" else 100.0
    budget = "" if limit is None else f" The budget is {scale * limit:g}."
    return Drawing(
        name=name,
        title=_NAMES[metric][0].upper() + _NAMES[metric][1:],
        description=" ".join(f"{one.label}: {one.said}." for one in lost) + budget,
        draw=lambda figure, _: _draw(figure, lost, metric, scale, limit),
        wide=wide,
        narrow=narrow,
    )


def _draw(
    figure: Figure,
    lost: Sequence[Lost],
    metric: BudgetMetric,
    scale: float,
    limit: float | None,
) -> None:
    lines = [Line(one.label, one.said, strong=one.role == "accent") for one in lost]
    axes = row_axes(figure, lines, _ROW)
    ends = [scale * end for one in lost for end in (one.estimate.low, one.estimate.high)]
    ends += [] if limit is None else [scale * limit]
    ends += [0.0] if metric == "drop" else []
    margin = max((max(ends) - min(ends)) * 0.06, 1e-5)
    axes.set_xlim(min(ends) - margin, max(ends) + margin)
    if limit is not None:
        harm = (scale * limit, max(ends) + margin)
        if metric != "drop":
            harm = (min(ends) - margin, scale * limit)
        axes.axvspan(*harm, color=INKS["warn"], alpha=0.10, linewidth=0, zorder=0)
        axes.axvline(scale * limit, color=INKS["warn"], linewidth=1.8, linestyle=(0, (5, 3)))
    if metric == "drop":
        axes.axvline(0, color=INKS["rule"], linewidth=2, zorder=0.5)
    for i, one in enumerate(lost):
        middle, ink = i + 0.72, INKS[one.role]
        low, high = scale * one.estimate.low, scale * one.estimate.high
        axes.plot([low, high], [middle] * 2, color=ink, linewidth=2.4, solid_capstyle="butt")
        for end in (low, high):
            axes.plot([end] * 2, [middle - 0.1, middle + 0.1], color=ink, linewidth=1.6)
        axes.scatter([scale * one.estimate.value], [middle], s=52, color=ink, zorder=3)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.5g}"))
    named_axis(axes, _NAMES[metric])
