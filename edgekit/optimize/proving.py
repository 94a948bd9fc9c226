"""Hold what a pass made against the recorded answers, and against the model before the pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from edgekit.errors import EdgekitError
from edgekit.measure.ways import How, variant_call
from edgekit.metrics import closeness, other_form, within
from edgekit.package.values import PORTABLE, Tolerance
from edgekit.tensors import Array, Case
from edgekit.workers import Worker

Answers = list[dict[str, Array]]


class Proof(msgspec.Struct, frozen=True):
    """Whether a model is equal on all cases: `problem` says where it isn't, or why it can't run.

    `max_abs_error` is the furthest from the model before, in the output's own unit.
    """

    answers: Answers
    max_abs_error: float | None = None
    problem: str = ""
    refused: bool = False


def prove(
    model: Path,
    cases: Sequence[Case],
    *,
    tolerances: Mapping[str, Tolerance],
    before: Answers | None = None,
    how: How | None = None,
    wall_s: float,
) -> Proof:
    """Run every case, and hold its answers to what was recorded and to the answers before.

    Args:
        model: an .onnx file.
        cases: with the answers that were recorded of the original.
        tolerances: how far each output may lie from what was recorded; an output that isn't named
            is random, and only its form is looked at.
        before: what the model answered before the pass.
        how: how it runs; on the CPU unless something else is said.
        wall_s: how long loading it, or one run, may take.
    """
    furthest = 0.0
    answers: Answers = []
    try:
        with Worker(model.name, wall_s=wall_s) as worker:
            worker.open(variant_call(model, PORTABLE, how or How()))
            for index, case in enumerate(cases):
                answers.append(worker.run(case.feed).outputs)
                off = _off(answers[-1], case.outputs or {}, tolerances)
                if off:
                    return Proof(answers, None, f"case {index}: {off}")
                if before is not None:
                    distances = [
                        closeness(answers[-1][name], before[index][name]).max_abs_error
                        for name in tolerances
                    ]
                    furthest = max([furthest, *distances])
    except EdgekitError as error:
        return Proof(answers, None, " ".join(str(error).split())[:300], refused=True)
    return Proof(answers, None if before is None else furthest)


def _off(
    got: Mapping[str, Array], recorded: Mapping[str, Array], tolerances: Mapping[str, Tolerance]
) -> str:
    """Say in a few words where answers are not what was recorded; empty where they are."""
    for name, expected in recorded.items():
        if name not in got:
            return f"there is no output {name}"
        if form := other_form(got[name], expected):
            return f"{name} has another form: {form}"
        allowed = tolerances.get(name)
        if allowed is None:
            continue
        mismatch = within(got[name], expected, absolute=allowed.absolute, relative=allowed.relative)
        if mismatch is not None:
            return f"{name}: {mismatch}"
    return ""
