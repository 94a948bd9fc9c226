"""What `edgekit tune` prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from edgekit import machine
from edgekit.metrics import Estimate
from edgekit.report.figures import MISSING, count, digits, size, times
from edgekit.report.kept import drop
from edgekit.report.tables import Column, print_table, shown
from edgekit.terms import Outcome
from edgekit.tune.outline import Outline, Planned
from edgekit.tune.results import Tried, Tuned
from edgekit.tune.ways import Way

_COLOURS: dict[Outcome, str] = {"chosen": "green", "over budget": "red", "undecided": "yellow"}
_EXPLAINED: tuple[Outcome, ...] = ("over budget", "undecided", "failed", "not tried")
"""Of these the table's word doesn't say enough."""


def tuned(console: Console, path: str, done: Tuned) -> None:
    """Print every candidate that ran, what was chosen and why, and why others weren't."""
    budget = " and ".join(map(str, done.budgets))
    sizes = [f"{name} {n}" for name, n in done.sizes.items()]
    conditions = [done.package, machine.summary(done.machine), *sizes, budget]
    console.print(" · ".join(map(shown, conditions)), style="bold")
    ran = [tried for tried in done.tried if tried.p50_ms is not None]
    ran.sort(key=lambda tried: (tried.outcome != "chosen", -_speed(tried)))
    if ran:
        print_table(console, _columns(ran))
        console.print()
        console.print(
            f"Speedups are against {shown(done.baseline)}, in the same rounds, with their 95 % "
            "interval where they come from the last race. ◆ nothing else is faster, more accurate "
            "and smaller at once.",
            style="dim",
        )
    for tried in done.tried:
        if tried.outcome in _EXPLAINED:
            console.print(f"{shown(tried.label)}: {tried.outcome}: {shown(tried.reason)}")
    for note in done.notes:
        console.print(f"Note: {shown(note)}")
    label = Way(done.winner.variant, done.winner.session).label
    console.print(f"[green]Chosen[/]: [bold]{shown(label)}[/]: {shown(done.why)}.")
    console.print(
        f"It took {done.took_s:.0f} s. edgekit.load takes it on machines of this kind."
        if done.finished
        else f"Not everything was tried in {done.took_s:.0f} s; edgekit tune goes on from here: "
        f"edgekit tune {shown(path)}"
    )
    if any(tried.outcome == "slower" and tried.variant != _float(done) for tried in ran):
        console.print(f"Why some are slower than float: edgekit explain {shown(path)}")
    console.print(
        f"Next: edgekit bench {shown(path)}, edgekit report {shown(path)}, or edgekit slim "
        f"{shown(path)} --variant tuned -o OUT"
    )


def _float(done: Tuned) -> str:
    return next((t.variant for t in done.tried if t.label == done.baseline), "")


def outlined(console: Console, path: str, plan: Outline) -> None:
    """Print what a search would try, and how long that would take."""
    budget = " and ".join(map(str, plan.budgets))
    console.print(f"[bold]{shown(plan.package)}[/] · {shown(budget)} on {shown(plan.evaluation)}")
    print_table(
        console,
        [
            Column("candidate", [shown(one.label) for one in plan.planned], left=True),
            Column("", [_state(one) for one in plan.planned], left=True),
            Column(
                "about", [MISSING if one.there else f"{one.make_s:.0f} s" for one in plan.planned]
            ),
            Column("why", [shown(one.why) for one in plan.planned], left=True),
        ],
    )
    for note in plan.notes:
        console.print(f"Note: {shown(note)}")
    to_make = [one for one in plan.planned if not one.there]
    sure = sum(one.only_after is None for one in to_make)
    more = len(to_make) - sure
    following = (
        f", {plan.following_s:.0f} s more for {count(more, 'variant')} if rewrites pay"
        if more
        else ""
    )
    console.print(
        f"About {plan.build_s:.0f} s to make {count(sure, 'variant')}{following}, and "
        f"{plan.races_s:.0f} s to race; other ways to run the fastest are tried on the way. "
        "Nothing was made."
    )
    console.print(f"Next: edgekit tune {shown(path)}")


def _state(one: Planned) -> str:
    if one.there:
        return "there"
    return "to make" if one.only_after is None else f"if {shown(one.only_after)} pays"


def _columns(ran: Sequence[Tried]) -> list[Column]:
    last = max((tried.stage for tried in ran), default=0)
    columns = [
        Column("", [shown(tried.label) for tried in ran], left=True),
        Column("p50 ms", [digits(t.p50_ms.value) if t.p50_ms else MISSING for t in ran]),
        Column("speedup [95 %]", [_speedup(t, last=last) for t in ran]),
    ]
    qualities = [tried.quality for tried in ran]
    for title, cells in (
        ("drop (at most)", [drop(q.drop) if q else MISSING for q in qualities]),
        ("agreement (at least)", [_share(q.kept_agreement) if q else MISSING for q in qualities]),
        ("cosine (at least)", [_cosine(q.cosine) if q else MISSING for q in qualities]),
    ):
        if any(cell != MISSING for cell in cells):
            columns.append(Column(title, cells))
    columns += [
        Column("size", [MISSING if t.size_bytes is None else size(t.size_bytes) for t in ran]),
        Column("", [_outcome(tried) for tried in ran], left=True),
    ]
    return columns


def _outcome(tried: Tried) -> str:
    colour = _COLOURS.get(tried.outcome, "")
    word = f"[{colour}]{tried.outcome}[/]" if colour else tried.outcome
    return f"{word} ◆" if tried.on_front else word


def _speedup(tried: Tried, *, last: int) -> str:
    """Write a speedup; of an earlier race's two or three starts an interval says nothing."""
    if tried.speedup is None:
        return "baseline"
    return times(tried.speedup) if tried.stage == last else f"×{digits(tried.speedup.value)}"


def _speed(tried: Tried) -> float:
    return tried.speedup.value if tried.speedup is not None else 1.0


def _share(estimate: Estimate | None) -> str:
    if estimate is None:
        return MISSING
    return f"{100 * estimate.value:.1f} % ({100 * estimate.low:.1f} %)"


def _cosine(estimate: Estimate | None) -> str:
    return MISSING if estimate is None else f"{estimate.value:.5f} ({estimate.low:.5f})"
