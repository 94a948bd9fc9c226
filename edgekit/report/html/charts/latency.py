"""How latencies are distributed: every raw sample, and the median of every round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edgekit.measure import statistics
from edgekit.metrics import Estimate
from edgekit.report.figures import digits
from edgekit.report.html.charts.rows import Line, log_ticks, named_axis, row_axes, sizes
from edgekit.report.html.svg import INKS, Drawing

_Ms: TypeAlias = NDArray[np.float64]

_ROW = 62
_BINS = 140
_TAIL = 0.97
"""The share of each candidate's samples that the axis shows at least; the rest is counted."""


class Timed(NamedTuple):
    """What was timed of one candidate: durations in ns by start and round, and its p50."""

    label: str
    starts: Sequence[Sequence[Sequence[int]]]
    p50_ms: Estimate
    role: str
    """The ink of `edgekit.report.html.svg.INKS` that it is drawn in."""


def latency(timed: Sequence[Timed], *, name: str, title: str) -> Drawing:
    """Draw the density of all samples of each candidate over a logarithmic axis of ms, the p50s of
    its rounds as dots, and its p50 with the 95 % interval."""
    wide, narrow = sizes(len(timed), _ROW)
    return Drawing(
        name=name,
        title=title,
        description="; ".join(
            f"{one.label}: p50 {digits(one.p50_ms.value)} ms, 95 % interval "
            f"{digits(one.p50_ms.low)} to {digits(one.p50_ms.high)} ms"
            for one in timed
        )
        + ".",
        draw=lambda figure, _: _draw(figure, timed),
        wide=wide,
        narrow=narrow,
    )


def off_the_scale(timed: Sequence[Timed]) -> str:
    """Say how many samples of each candidate are longer than the axis: none goes unsaid."""
    pooled = [_pooled_ms(one) for one in timed]
    _, high = _scale(timed, pooled)
    said = [
        f"{one.label} {int((ms > high).sum()):,} of {len(ms):,}"
        for one, ms in zip(timed, pooled, strict=True)
        if (ms > high).any()
    ]
    return f"Longer than {digits(high)} ms and off the scale: {', '.join(said)}." if said else ""


def _scale(timed: Sequence[Timed], pooled: Sequence[_Ms]) -> tuple[float, float]:
    """Choose where the axis begins and ends: every p50's interval is on it."""
    low = min(*(float(ms.min()) for ms in pooled), *(one.p50_ms.low for one in timed))
    tail = (float(np.quantile(ms, _TAIL)) for ms in pooled)
    return 0.95 * low, 1.06 * max(*tail, *(one.p50_ms.high for one in timed))


def _draw(figure: Figure, timed: Sequence[Timed]) -> None:
    pooled = [_pooled_ms(one) for one in timed]
    low, high = _scale(timed, pooled)
    lines = [
        Line(one.label, f"{digits(one.p50_ms.value)} ms", one.role == "accent") for one in timed
    ]
    axes = row_axes(figure, lines, _ROW)
    edges = np.geomspace(low, high, _BINS + 1)
    for i, (one, ms) in enumerate(zip(timed, pooled, strict=True)):
        floor, ink = i + 0.80, INKS[one.role]
        counts, _ = np.histogram(ms, edges)
        heights = counts / counts.max() * 0.42 if counts.max() else counts.astype(float)
        middles = np.sqrt(edges[1:] * edges[:-1])
        axes.fill_between(middles, floor, floor - heights, color=ink, alpha=0.35, linewidth=0)
        axes.plot(middles, floor - heights, color=ink, linewidth=1.1)
        rounds = [p50 for start in statistics.round_p50s(one.starts) for p50 in start]
        shown = [p50 for p50 in rounds if p50 <= high]
        axes.scatter(
            shown, [floor + 0.08] * len(shown), s=14, color=ink, alpha=0.6, linewidths=0, zorder=3
        )
        axes.plot([one.p50_ms.low, one.p50_ms.high], [floor + 0.08] * 2, color=ink, linewidth=2)
        axes.plot(
            [one.p50_ms.value] * 2, [floor - 0.46, floor + 0.14], color=INKS["ink"], linewidth=1.6
        )
    log_ticks(axes, low, high)
    named_axis(axes, "ms a call")


def _pooled_ms(one: Timed) -> _Ms:
    samples = [np.asarray(r, np.float64) for rounds in one.starts for r in rounds]
    return np.concatenate(samples) / statistics.NS_PER_MS
