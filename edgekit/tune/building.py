"""Make the variants that are worth a try, inside the budget and the time; a failure is a result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import msgspec

from edgekit.budgets import Budget
from edgekit.errors import EdgekitError, GateFailed
from edgekit.measure.plan import Plan
from edgekit.measure.results import Quality
from edgekit.package import reading
from edgekit.package.editing import edit
from edgekit.package.values import Package
from edgekit.quantize import quantize
from edgekit.terms import Outcome, Pass, Undecided
from edgekit.tune.steps import Step
from edgekit.workers import WorkerFault

_AT_LOADING: frozenset[Pass] = frozenset({"sizes", "ort", "ort-layout"})
"""Passes that a search has no use for: fixed sizes must be asked for, and what ONNX Runtime does to
a graph it does again whenever it loads it."""
BRIEF = Plan(starts=3, rounds=3, turn_s=0.05, warm_up_s=0.1)
"""How long each rewrite is timed: the races that follow measure what is kept once more."""


class Built(msgspec.Struct, frozen=True):
    """What became of a step: the variant's name where there is one, else the outcome and why.

    `quality` and `parent_quality` are what was measured on the processor on the way, against the
    original, of the variant and of what it was made from.
    """

    step: Step
    variant: str | None
    outcome: Outcome = "kept"
    reason: str = ""
    quality: Quality | None = None
    parent_quality: Quality | None = None


class Data(msgspec.Struct, frozen=True):
    """What variants are made with and judged on, as it was typed."""

    budgets: tuple[Budget, ...]
    undecided: Undecided
    calib_data: str | None
    eval_data: str | None
    synthetic: bool


def build(
    path: Path,
    step: Step,
    *,
    data: Data,
    parent: str,
    wall_s: float,
    progress: Callable[[int, int], None],
) -> Built:
    """Make one variant and add it to the package, where it keeps the budgets.

    Args:
        path: the package.
        step: what to make.
        data: what with, and what it must keep.
        parent: the float variant that it is made from.
        wall_s: how long a single run may take.
        progress: called while it is made; what it raises ends it, and the package stays as it was.

    Raises:
        StorageError: the package can't be changed.
    """
    try:
        if step.scheme is None:
            from edgekit.optimize import optimize

            rewritten = optimize(
                path,
                name=step.name,
                passes=[one for one in get_args(Pass) if one not in _AT_LOADING],
                variant=parent,
                plan=msgspec.structs.replace(BRIEF, wall_s=wall_s),
                wall_s=wall_s,
                progress=progress,
            )
            if rewritten.variant is None:
                return Built(step, None, "slower", "no rewrite is faster here")
            return Built(step, rewritten.variant.name)
        made = quantize(
            path,
            scheme=step.scheme,
            name=step.name,
            target=step.provider,
            variant=step.parent or parent,
            calib_data=data.calib_data,
            eval_data=data.eval_data,
            synthetic=data.synthetic,
            budgets=data.budgets,
            undecided=data.undecided,
            wall_s=wall_s,
            progress=progress,
        )
        return Built(
            step,
            made.variant.name,
            quality=made.quality,
            parent_quality=made.parent_quality,
        )
    except GateFailed as error:
        verdicts = error.facts["verdicts"]
        undecided = any("undecided" in verdict for verdict in verdicts)
        return Built(
            step, None, "undecided" if undecided else "over budget", "; ".join(verdicts[:-1])
        )
    except (EdgekitError, WorkerFault) as error:
        return Built(step, None, "failed", " ".join(str(error).split()))


def remove(path: Path, names: Sequence[str]) -> Package:
    """Take variants out of a package, but for those that others were made from.

    Raises:
        StorageError: the package can't be changed.
    """

    def change(now: Package) -> tuple[Package, dict[str, bytes | Path]]:
        going = set(names)
        staying = [variant for variant in now.variants if variant.name not in going]
        parents = {variant.parent for variant in staying}
        kept = tuple(v for v in now.variants if v.name not in going - parents)
        return msgspec.structs.replace(now, variants=kept), {}

    return edit(path, change) if names else reading.read(path)
