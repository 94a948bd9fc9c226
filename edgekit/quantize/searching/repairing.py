"""Repair as `quantize` does it: budgets judged on a package's cases, suspects from real values."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from edgekit.budgets import Budget, Verdict, judge_all
from edgekit.errors import BadValue, GateFailed
from edgekit.measure.judging import judged_by
from edgekit.measure.results import Quality
from edgekit.package.cases import open_cases
from edgekit.package.reading import graph_of
from edgekit.package.values import Package, Variant
from edgekit.quantize.scheme import Made, Work, Write, measured_in_place
from edgekit.quantize.searching.evaluation import Evaluation
from edgekit.quantize.searching.local_noise import local_noise, rounding_of
from edgekit.quantize.searching.repair import Repaired, Score, repair
from edgekit.tensors import Dataset, random_outputs
from edgekit.terms import Scheme, Undecided

log = logging.getLogger("edgekit")

_SUSPECTED_ON = 8
"""Cases over which the noise of single nodes is estimated: it ranks them, and decides nothing."""


class Mended(msgspec.Struct, frozen=True):
    """What was written: after how many looks at whole models, and what the user must know."""

    made: Made
    looks: int = 0
    notes: tuple[str, ...] = ()


def repaired(
    path: Path,
    package: Package,
    parent: Variant,
    *,
    scheme: Scheme,
    write: Write,
    output: Path,
    work: Work,
    keep_float: Sequence[str],
    budgets: Sequence[Budget],
    undecided: Undecided,
    evaluation: Dataset | None = None,
) -> Mended:
    """Write the model with the fewest nodes in float with which every budget is kept.

    Args:
        path: the package's folder.
        package: the package.
        parent: the float variant.
        scheme: how the model is written.
        write: what the scheme gave.
        output: where the model goes.
        work: what the scheme was given.
        keep_float: nodes that stay in float in any case.
        budgets: at least one.
        undecided: whether a model on which the cases don't decide keeps them.
        evaluation: what is judged on; the package's held-out cases unless given, else its
            reference cases.

    Raises:
        GateFailed: no choice of nodes keeps the budgets.
        BadValue: a budget that can't be had of these cases, or no cases.
    """
    graph = graph_of(package, parent)
    kept_cases = graph.evaluation or graph.reference
    if evaluation is None:
        if kept_cases is None:
            raise BadValue(
                what="an accuracy budget",
                asked=f"held on {path}, which has no cases",
                expected="cases to judge it on: --eval-data",
            )
        evaluation = open_cases(path, package, kept_cases)
    provider = work.target.provider

    def suspect(nodes: Sequence[str]) -> Mapping[str, float]:
        rounding = rounding_of(scheme, work.rules, block_size=work.settings.block_size)
        return local_noise(
            work.model,
            islice(work.feeds(), _SUSPECTED_ON),
            nodes,
            rounding=rounding,
            scratch=work.scratch,
            wall_s=work.wall_s,
        )

    log.info("judging %s on %s %s", output.stem, f"{evaluation.cases:,}", evaluation.name)
    with Evaluation(
        work.model,
        evaluation,
        scratch=work.scratch,
        metric=judged_by(evaluation, graph.signature, metric=package.metric, budgets=budgets),
        output=graph.signature.outputs[0].name,
        random=random_outputs(graph.signature),
        wall_s=work.wall_s,
    ) as beside:

        def evaluate(model: Path, made: Made) -> Score:
            stand_in = measured_in_place(made, provider)
            quality, _ = beside.quality(stand_in or model)
            return score(quality, budgets)

        found = repair(
            write,
            evaluate,
            parent=work.model,
            output=output,
            keep_float=keep_float,
            suspect=suspect,
            undecided=undecided,
            progress=work.progress,
        )
    if not found.passed:
        raise GateFailed(verdicts=[found.score.said, found.why])
    return Mended(found.made, found.evaluations, _notes(found))


def score(quality: Quality, budgets: Sequence[Budget]) -> Score:
    """Sum up what several budgets say of a model: the worst ruling, and how far inside it is."""
    verdicts = judge_all(budgets, quality)
    worst = min(verdicts, key=lambda one: (_ORDER[one.ruling], _margin(one)))
    said = "; ".join(one.sentence for one in verdicts if one.ruling != "passed") or worst.sentence
    return Score(worst.ruling, _margin(worst), said)


_ORDER = {"failed": 0, "undecided": 1, "passed": 2}


def _margin(verdict: Verdict) -> float:
    """Tell how far inside its budget a model is, as a share; less than 0 outside."""
    distance = verdict.estimate.value - verdict.budget.limit
    return -distance if verdict.budget.metric == "drop" else distance


def _notes(found: Repaired) -> tuple[str, ...]:
    if not found.keep_float:
        return ()
    left = len(found.keep_float)
    return (
        f"{left} of {found.nodes} nodes {'stays' if left == 1 else 'stay'} in float32 for the "
        f"budget's sake, found in {found.evaluations} looks at the whole model, all at the same "
        "cases",
    )
