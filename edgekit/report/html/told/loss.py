"""What candidates lost of the original's accuracy, and which nodes carry it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgekit.metrics import Estimate
from edgekit.report import grids
from edgekit.report.candidates import Candidate, of_bench, of_tuned
from edgekit.report.evidence import Known
from edgekit.report.html.charts.budget import Lost, against_budget
from edgekit.report.html.charts.sensitivity import Bar, shares
from edgekit.report.html.told.parts import TOP, Part, Section, role
from edgekit.report.kept import points
from edgekit.terms import BudgetMetric


def accuracy(known: Known) -> Section | None:
    """Show what each file lost, with bounds, against the budget where there is one."""
    candidates: Sequence[Candidate]
    budgets: dict[BudgetMetric, float] = {}
    if known.raced is not None:
        candidates = of_tuned(known.raced)
        budgets = {budget.metric: budget.limit for budget in known.raced.budgets}
    elif known.benches:
        candidates = [one for one in of_bench(known.by_batch[0]) if not one.is_original]
    else:
        return None
    # Of one file the answers are the same however it is run: one row for each that differs.
    by_loss: dict[object, Candidate] = {}
    for one in candidates:
        if one.quality is not None:
            quality = one.quality
            by_loss.setdefault((one.label.split(" · ")[0], quality.drop, quality.cosine), one)
    parts = list(_losses(list(by_loss.values()), budgets))
    if not parts:
        return None
    quality = next(one.quality for one in by_loss.values() if one.quality is not None)
    made = "made-up" if quality.synthetic else "held-out"
    said = "The dashed line is the budget; " if budgets else ""
    return Section(
        "accuracy",
        "What it cost in accuracy",
        f"Measured on {quality.cases:,} {made} cases ({quality.dataset}). {said}a bar reaches from "
        "one bound to the other, each of which holds with 95 %.".replace(". a bar", ". A bar"),
        tuple(parts),
    )


def sensitivity(known: Known) -> Section | None:
    """Show which nodes carry the loss, of each ranking that is kept."""
    if not known.sensitivities:
        return None
    parts = []
    for place, found in enumerate(known.sensitivities):
        bars = [
            Bar(row.name, row.share, f"{100 * row.share:.1f} %", row.name in found.carriers)
            for row in found.rows[:TOP]
            if row.share is not None
        ]
        title = f"{found.variant} in {found.scheme}, each {found.by} alone"
        made_up = ", made up" if found.synthetic and "made-up" not in found.dataset else ""
        caption = f"Over {found.cases:,} {found.dataset}{made_up}. " + (
            "In bold: the fewest that carry 80 % of the loss."
            if found.carriers
            else f"The loss is spread: no few {found.by}s carry it."
        )
        drawing = shares(bars, name=f"sensitivity-{place}", title=title) if bars else None
        parts.append(Part(title, drawing, grids.sensitivity_grid(found, top=TOP), caption))
    return Section(
        "sensitivity",
        "Which nodes carry a loss",
        "How much of the noise at the model's output each brings when it alone is quantized.",
        tuple(parts),
    )


def _losses(candidates: Sequence[Candidate], budgets: dict[BudgetMetric, float]) -> Iterator[Part]:
    titles: dict[BudgetMetric, tuple[str, str]] = {
        "drop": ("Drop in accuracy", "drop"),
        "agreement": ("Agreement with the original", "kept_agreement"),
        "cosine": ("Cosine to the original's answers", "cosine"),
    }
    first = next(
        (m for m in titles if any(getattr(c.quality, titles[m][1]) for c in candidates)), None
    )
    for metric, (title, field) in titles.items():
        if metric not in budgets and metric != first:
            continue
        lost = [
            Lost(c.label, estimate, role(c), _loss_in_words(estimate, metric))
            for c in candidates
            if (estimate := getattr(c.quality, field)) is not None
        ][:TOP]
        if lost:
            limit = budgets.get(metric)
            yield Part(title, against_budget(lost, metric, limit=limit, name=f"budget-{metric}"))


def _loss_in_words(estimate: Estimate, metric: BudgetMetric) -> str:
    value, low, high = estimate.value, estimate.low, estimate.high
    if metric == "drop":
        return f"{points(value)}, at most {points(high)}"
    if metric == "agreement":
        return f"{100 * value:.2f} %, at least {100 * low:.2f} %"
    return f"{value:.5f}, at least {low:.5f}"
