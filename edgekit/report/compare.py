"""What `edgekit compare` prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console

from edgekit.budgets import Verdict
from edgekit.measure.compare import Compared
from edgekit.metrics import Closeness, Estimate
from edgekit.report.figures import MISSING, error, share
from edgekit.report.kept import points
from edgekit.report.tables import Column, print_table, shown
from edgekit.tensors import BY_SHAPE, RunFacts

_SIDES = {"test": "held-out", "reference": "reference", "train": "calibration"}
_COLOURS = {"passed": "green", "failed": "red", "undecided": "yellow"}


def compared(console: Console, done: Compared) -> None:
    """Print how far B is from A, what both are worth on the cases, and the verdicts."""
    console.print(f"[bold]A[/]  {shown(done.a)} · {shown(_how(done.a_facts))}")
    console.print(f"[bold]B[/]  {shown(done.b)} · {shown(_how(done.b_facts))}")
    side = "made-up" if done.synthetic else _SIDES[done.split]
    name = done.dataset.removeprefix("made-up ") if done.synthetic else done.dataset
    console.print(f"On {done.cases:,} {side} {shown(name)}, on {shown(done.machine)}:")
    _print_outputs(console, done)
    _print_quality(console, done)
    print_verdicts(console, done.verdicts)
    for note in done.notes:
        console.print(f"Note: {shown(note)}")


def print_verdicts(console: Console, verdicts: Sequence[Verdict]) -> None:
    """Print what each budget says, a line each, its ruling in colour."""
    for verdict in verdicts:
        colour = _COLOURS[verdict.ruling]
        console.print(f"[{colour}]{verdict.ruling.capitalize()}[/]: {shown(verdict.sentence)}.")


def _how(facts: RunFacts) -> str:
    return f"{facts.provider}, {facts.computes or facts.precision}"


def _print_outputs(console: Console, done: Compared) -> None:
    found = list(done.outputs.values())
    print_table(
        console,
        [
            Column("output", [shown(name) for name in done.outputs], left=True),
            Column(
                "max abs error", [MISSING if c is None else error(c.max_abs_error) for c in found]
            ),
            Column(
                "max rel error", [MISSING if c is None else error(c.max_rel_error) for c in found]
            ),
            Column("lowest cosine", [MISSING if c is None else f"{c.cosine:.7f}" for c in found]),
            Column("lowest SQNR dB", [_sqnr(c) for c in found]),
            Column("", [BY_SHAPE if c is None else "" for c in found], left=True),
        ],
    )


def _print_quality(console: Console, done: Compared) -> None:
    quality = done.quality
    if done.accuracy is not None:
        console.print(f"Accuracy: A {share(done.accuracy)}, B {share(quality.accuracy)}.")
    if quality.drop is not None and quality.changes is not None:
        changes = quality.changes
        console.print(
            f"Drop: {points(quality.drop.value)}, {_between(quality.drop, points)}; "
            f"{changes.harmful:,} right answers became wrong and {changes.helpful:,} wrong ones "
            f"right, of {changes.cases:,}."
        )
    if quality.kept_agreement is not None:
        console.print(
            f"Agreement: {_percent(quality.kept_agreement.value)}, "
            f"{_between(quality.kept_agreement, _percent)}."
        )
    if quality.cosine is not None:
        console.print(
            f"Cosine, the mean over the cases: {quality.cosine.value:.6f}, "
            f"{_between(quality.cosine, lambda value: f'{value:.6f}')}."
        )


def _between(estimate: Estimate, write: Callable[[float], str]) -> str:
    return f"at least {write(estimate.low)} and at most {write(estimate.high)} (95 % each)"


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _sqnr(found: Closeness | None) -> str:
    if found is None:
        return MISSING
    return "exact" if found.sqnr_db is None else f"{found.sqnr_db:.1f}"
