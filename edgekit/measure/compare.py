"""Two models side by side on the same cases: how far their answers are apart, and what that costs.

The first counts as the original of the second. Nothing is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from edgekit import machine
from edgekit.budgets import Budget, Verdict, accepted, judge_all, refuse_unavailable
from edgekit.data import repeats_note
from edgekit.errors import InputError
from edgekit.measure.given import made_up_notes
from edgekit.measure.quality import Tally, furthest
from edgekit.measure.results import Quality
from edgekit.measure.sides import Side, refuse_unlike
from edgekit.metrics import Closeness, Estimate, closeness, other_form
from edgekit.shown import Shown
from edgekit.tensors import Array, Dataset, RunFacts, random_outputs
from edgekit.terms import Metric, Split, Undecided
from edgekit.workers import Worker

_WALL_S = 600.0


class Compared(Shown, msgspec.Struct, frozen=True):
    """The distance of B from A on the same cases, and what budgets say of it.

    `outputs` has the furthest of all cases by output, None for one whose values are random.
    `quality` is B's with A as the original: its drop, agreement and cosine are against A.
    `accuracy` is A's own, where the cases have labels. `passed` is the verdict on all budgets.
    `notes` say which of the two was made with made-up values, and whether cases repeat others.
    """

    a: str
    b: str
    a_facts: RunFacts
    b_facts: RunFacts
    machine: str
    metric: Metric
    dataset: str
    split: Split
    cases: int
    synthetic: bool
    outputs: dict[str, Closeness | None]
    accuracy: Estimate | None
    quality: Quality
    verdicts: tuple[Verdict, ...] = ()
    passed: bool = True
    notes: tuple[str, ...] = ()


def compare(
    a: Side,
    b: Side,
    *,
    dataset: Dataset,
    metric: Metric,
    budgets: Sequence[Budget] = (),
    undecided: Undecided = "reject",
    wall_s: float = _WALL_S,
    progress: Callable[[int, int], None] | None = None,
) -> Compared:
    """Run both on the same cases, each in a process of its own, and compare their answers.

    Args:
        a: what counts as the original.
        b: what is held against it.
        dataset: the cases; their labels say what is right, their recorded answers don't count.
        metric: how answers are judged, see `edgekit.measure.judging.judged_by`.
        budgets: what B may lose of what A can.
        undecided: whether cases that don't decide on a budget pass.
        wall_s: how long loading, or a single run, may take.
        progress: called with the cases done and the cases in all.

    Raises:
        BadValue: the two take or give other arrays, or a budget can't be had of the cases.
        InputError: they answer in other shapes, or a case doesn't fit.
        ModelFileError, RunFailed, WorkerError, OriginalUnavailable: one can't be run.
    """
    refuse_unlike(a, b)
    refuse_unavailable(budgets, dataset, metric=metric)
    random = random_outputs(a.signature) | random_outputs(b.signature)
    output = a.signature.outputs[0].name
    tally_a, tally_b = (Tally(dataset, metric=metric, output=output, random=random) for _ in "ab")
    outputs: dict[str, Closeness | None] = {}
    with Worker(a.label, wall_s=wall_s) as first, Worker(b.label, wall_s=wall_s) as second:
        a_facts, b_facts = first.open(a.call).facts, second.open(b.call).facts
        for done, case in enumerate(dataset.open()):
            if progress is not None:
                progress(done, dataset.cases)
            expected, got = first.run(case.feed).outputs, second.run(case.feed).outputs
            _refuse_other_names(got, expected, a=a, b=b)
            for name, array in expected.items():
                outputs[name] = (
                    None
                    if name in random
                    else furthest(_distance(name, got[name], array), outputs.get(name))
                )
            tally_a.add(case, expected, original=None)
            tally_b.add(case, got, original=expected)
    quality = tally_b.quality()
    verdicts = judge_all(budgets, quality)
    return Compared(
        a=a.label,
        b=b.label,
        a_facts=a_facts,
        b_facts=b_facts,
        machine=machine.summary(machine.describe()),
        metric=metric,
        dataset=dataset.name,
        split=dataset.split,
        cases=quality.cases,
        synthetic=dataset.synthetic,
        outputs=outputs,
        accuracy=tally_a.quality().accuracy,
        quality=quality,
        verdicts=verdicts,
        passed=accepted(verdicts, undecided=undecided),
        notes=_notes(a, b, dataset),
    )


def _notes(a: Side, b: Side, dataset: Dataset) -> tuple[str, ...]:
    subjects = [side.subject for side in (a, b) if side.subject is not None]
    made_up = [note for subject in subjects for note in made_up_notes(subject.variants[:1])]
    return tuple(filter(None, [*dict.fromkeys(made_up), repeats_note(dataset)]))


def _refuse_other_names(
    got: Mapping[str, Array], expected: Mapping[str, Array], *, a: Side, b: Side
) -> None:
    if got.keys() != expected.keys():
        raise InputError(
            problem=f"{a.label} answers {', '.join(expected)} and {b.label} {', '.join(got)}: only "
            "models with the same outputs can be compared."
        )


def _distance(name: str, got: Array, expected: Array) -> Closeness:
    if off := other_form(got, expected):
        raise InputError(problem=f"The two answer {name} in other forms: of the second {off}.")
    return closeness(got, expected)
