"""How fast candidates are, and what that is worth against their accuracy."""

from __future__ import annotations

from edgekit.measure.results import BenchReport
from edgekit.measure.results import report as report_of
from edgekit.report import grids
from edgekit.report.bench import conditions
from edgekit.report.candidates import of_bench, of_tuned, worth
from edgekit.report.evidence import Known
from edgekit.report.html.charts.latency import Timed, latency, off_the_scale
from edgekit.report.html.charts.pareto import Point, pareto
from edgekit.report.html.told.parts import Part, Section, role


def timed_benches(known: Known) -> tuple[BenchReport, ...]:
    """List the benches that are shown: the smallest batch first, of one batch the newest; without
    any, the last race of a tuning."""
    if known.benches:
        return known.by_batch
    if known.tuned is not None and known.tuned.races:
        return (report_of(known.tuned.races[-1]),)
    return ()


def latencies(known: Known) -> Section | None:
    """Show how the latencies of each bench are distributed."""
    benches = timed_benches(known)
    if not benches:
        return None
    parts = []
    for place, report in enumerate(benches):
        title = _conditions_apart(report)
        timed = _timed(report, known)
        drawing = latency(timed, name=f"latency-{place}", title=f"Latency: {title}")
        parts.append(
            Part(
                title[0].upper() + title[1:],
                drawing,
                grids.bench_grid(report),
                off_the_scale(timed),
                remarks=_remarks(report),
            )
        )
    return Section(
        "latency",
        "How fast",
        "Every raw sample counts: the hill is their density, each dot the median of one round, the "
        "upright line the p50 over all, and the bar through the dots its 95 % interval.",
        tuple(parts),
    )


def front(known: Known) -> Section | None:
    """Show latency against accuracy, of what tuning tried or else of the first bench."""
    if known.raced is not None:
        candidates = of_tuned(known.raced)
        table = grids.tuned_grid(known.raced)
    elif known.benches:
        candidates = of_bench(known.by_batch[0])
        table = None
    else:
        return None
    value = worth(candidates)
    placed = [] if value is None else [c for c in candidates if c.p50_ms and c.label in value.of]
    if value is None or len(placed) < 2:
        return None
    drawing = pareto(
        [
            Point(
                c.label,
                c.p50_ms.value if c.p50_ms else 0.0,
                value.of[c.label],
                c.size_bytes,
                role(c),
                c.on_front,
                inside=c.inside,
            )
            for c in placed
        ],
        name="front",
        measure=value.measure,
        percent=value.percent,
    )
    caption = (
        "The larger a mark, the larger the file. The dashed line is the front: nothing measured is "
        "both faster and nearer to the original than what lies on it. A hollow mark breaks the "
        "budget."
    )
    return Section(
        "front",
        "Speed against accuracy",
        f"Each mark is one way to run the model: further left is faster, further up keeps more "
        f"{'accuracy' if value.measure == 'accuracy' else f'of the {value.measure}'}.",
        (Part("", drawing, table, caption),),
    )


def _timed(report: BenchReport, known: Known) -> list[Timed]:
    by_label = {one.label: one for one in report.bench.measurements}
    chosen = _chosen(known, report)
    rows = sorted(report.rows, key=lambda row: (not row.is_original, row.p50_ms.value))
    return [
        Timed(
            row.label,
            [start.rounds for start in by_label[row.label].starts],
            row.p50_ms,
            "second" if row.is_original else "accent" if row.label == chosen else "first",
        )
        for row in rows
    ]


def _chosen(known: Known, report: BenchReport) -> str:
    """Name the row that stands out: what tuning chose, or else the fastest variant."""
    if known.raced is not None:
        winner = known.raced.winner
        labels = [one.label for one in known.raced.tried if one.outcome == "chosen"]
        labels += [f"{winner.variant} · {winner.session.provider}"]
        return next((one for one in labels if any(r.label == one for r in report.rows)), "")
    variants = [row for row in report.rows if not row.is_original and not row.mismatch]
    return min(variants, key=lambda row: row.p50_ms.value).label if variants else ""


def _conditions_apart(report: BenchReport) -> str:
    """Say under which conditions a bench was, without the model and the machine."""
    return ", ".join(conditions(report)[2:]) or "as it is"


def _remarks(report: BenchReport) -> tuple[str, ...]:
    return (
        *(f"{r.label} answers otherwise: {r.mismatch}" for r in report.rows if r.mismatch),
        *(f"{r.label}: {r.unstable}" for r in report.rows if r.unstable),
        *(f"{left.label} is left out: {left.reason}" for left in report.bench.left_out),
        *(f"{note[0].upper()}{note[1:]}." for note in report.bench.notes if note),
    )
