"""The one door by which a variant enters a package: run beside its parent, measured, committed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from edgekit import providers
from edgekit.budgets import Budget, Verdict, accepted, judge_all, refuse_unavailable
from edgekit.errors import BadValue, GateFailed
from edgekit.fixed_sizes import fitting_dataset, fixed
from edgekit.graph.summary import external_files, signature_of, summarize
from edgekit.measure.admission import (
    refuse_beside,
    refuse_name,
    refuse_other_data,
    refuse_signature,
    with_variant,
)
from edgekit.measure.comparison import Comparison
from edgekit.measure.judging import judged_by
from edgekit.measure.kept_accuracy import kept_of
from edgekit.measure.results import Quality
from edgekit.measure.ways import How, variant_call
from edgekit.metrics import Closeness
from edgekit.package import reading
from edgekit.package.cases import open_cases
from edgekit.package.editing import edit
from edgekit.package.locking import refuse_unlockable
from edgekit.package.values import PORTABLE, Graph, Package, Recipe, Target, Variant
from edgekit.tensors import Dataset
from edgekit.terms import Undecided
from edgekit.workers import Worker

_WALL_S = 600.0
_NOT_ON_CPUS = "bf16"
_NOT_RUN = (
    "it was not run here itself: ONNX Runtime's CPU provider has no kernels for bf16. What was "
    "measured is a model that rounds as it does"
)


class Added(msgspec.Struct, frozen=True):
    """A variant that is in its package now, and what was measured on the way.

    `closeness` is that of the variant's answers to its parent's, by output, over the reference and
    the held-out cases; `quality` and `parent_quality` hold both against the original's answers on
    the held-out cases, None where the package has none. `judged` is what the budgets' `verdicts`
    are about: `quality`, or that of the reference cases. `notes` says what its user must know.
    """

    package: Package
    variant: Variant
    closeness: dict[str, Closeness]
    quality: Quality | None
    parent_quality: Quality | None
    judged: Quality
    cases: int
    verdicts: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()


def add_variant(
    path: Path,
    model: Path,
    *,
    name: str,
    parent: str,
    precision: str,
    target: Target,
    recipe: Recipe | None = None,
    passes: Sequence[str] = (),
    sizes: Mapping[str, int] | None = None,
    overwrite: bool = False,
    stand_in: Path | None = None,
    evaluation: Dataset | None = None,
    budgets: Sequence[Budget] = (),
    undecided: Undecided = "reject",
    how: How | None = None,
    wall_s: float = _WALL_S,
    progress: Callable[[int, int], None] | None = None,
) -> Added:
    """Measure a new model beside the variant that it was made from, and add it to the package.

    It is of its parent's graph and comes after all other variants, so that what an ONNX Runtime
    takes by itself stays the same. The package is locked only while it is written: others may
    change it meanwhile, but not what this was measured against.

    Args:
        path: the package.
        model: the new .onnx file, external data beside it, under names that no other file has.
        name: what the variant is called.
        parent: the variant that it was made from.
        precision: "fp16", "int8", …
        target: what it is made for.
        recipe: how it was quantized, if it was.
        passes: the rewrites that made it, in their order.
        sizes: those of the dynamic dimensions that it is fixed to; it is measured on the cases
            that fit them. Those of its parent unless given.
        overwrite: replace a variant of this name, if it was made from another.
        stand_in: another .onnx file whose answers are measured in the model's place: it answers
            here as the model does on its target. The model itself is run on the reference cases,
            but for bf16, of which no CPU runs all that a model has.
        evaluation: what accuracy is measured on; the package's own held-out cases unless given.
        budgets: what it must keep of the original's accuracy to be added.
        undecided: whether it is added where the cases don't decide on a budget.
        how: how both are run; on the CPU unless something else is said.
        wall_s: how long loading, or a single run, may take.
        progress: called with the cases done and the cases in all.

    Raises:
        BadValue: the name is taken or reserved, there is no case to measure on, or a budget can't
            be had of the cases.
        GateFailed: a budget is missed, or the cases don't decide; nothing was changed.
        UnknownName: there is no such parent.
        ModelFileError: ONNX Runtime refuses the model, it takes or gives other arrays than its
            parent, or answers with NaN, infinities or another shape where that doesn't.
        NotFound, CorruptPackage, HashMismatch: the package can't be read.
        StorageError: the package can't be changed.
        MissingExtra: `onnx` is not installed.
    """
    package = reading.read(path)
    made_from = reading.variant_named(package, parent)
    refuse_name(path, package, name=name, overwrite=overwrite)
    refuse_unlockable(path)
    beside = external_files(model)
    refuse_beside(model, beside)
    graph = reading.graph_of(package, made_from)
    variant = Variant(
        name=name,
        graph=graph.name,
        model=f"{name}.onnx",
        files=tuple(beside),
        precision=precision,
        facts=summarize(model),
        parent=made_from.name,
        target=target,
        recipe=recipe,
        passes=tuple(passes),
        sizes=dict(made_from.sizes if sizes is None else sizes),
    )
    how = how or How()
    datasets = _measured_on(path, package, graph, evaluation, sizes=variant.sizes)
    metric = judged_by(datasets[-1], graph.signature, metric=package.metric, budgets=budgets)
    refuse_unavailable(budgets, datasets[-1], metric=metric)
    comparison = Comparison(graph, metric=metric, precision=precision, model=model)
    runs_here = not (precision == _NOT_ON_CPUS and stand_in is not None)
    _compare(
        comparison,
        path,
        datasets,
        model,
        variant,
        graph=graph,
        stand_in=stand_in,
        runs_here=runs_here,
        how=how,
        wall_s=wall_s,
        progress=progress,
    )
    quality, parent_quality = comparison.quality()
    judged = comparison.reference_quality() if quality is None else quality
    verdicts = judge_all(budgets, judged)
    if not accepted(verdicts, undecided=undecided):
        refused = [v.sentence for v in verdicts if not accepted([v], undecided=undecided)]
        raise GateFailed(verdicts=[*refused, f"{name} was not added to {path}"])
    variant = msgspec.structs.replace(
        variant,
        closeness=comparison.to_original(),
        kept=kept_of(
            judged,
            datasets[-1].sha256,
            provider=how.session.provider,
            stand_in=stand_in is not None,
        ),
    )
    contents = {file: model.parent / file for file in variant.files} | {variant.model: model}

    def change(now: Package) -> tuple[Package, dict[str, Path]]:
        refuse_other_data(path, now, model=model, beside=variant.files)
        edited = with_variant(path, now, measured=package, variant=variant, overwrite=overwrite)
        return edited, contents

    edited = edit(path, change)
    return Added(
        package=edited,
        variant=reading.variant_named(edited, name),
        closeness=comparison.to_parent(),
        quality=quality,
        parent_quality=parent_quality,
        judged=judged,
        cases=comparison.cases,
        verdicts=verdicts,
        notes=(*comparison.notes(), *([] if runs_here else [_NOT_RUN])),
    )


def target_named(provider: str) -> Target:
    """Make the target of a variant for a provider, right on every machine that has it.

    Raises:
        UnknownName: there is no such provider.
    """
    return Target(provider=provider, ep=providers.find(provider).ort_name)


def _compare(
    comparison: Comparison,
    path: Path,
    datasets: Sequence[Dataset],
    model: Path,
    variant: Variant,
    *,
    graph: Graph,
    stand_in: Path | None,
    runs_here: bool,
    how: How,
    wall_s: float,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Run every case through the new model and its parent, each in a process of its own."""
    total = sum(dataset.cases for dataset in datasets)
    with contextlib.ExitStack() as stack:

        def start(name: str) -> Worker:
            return stack.enter_context(Worker(f"{path.name}/{name}", wall_s=wall_s))

        ours = None
        if runs_here:
            ours = start(variant.name)
            careful = how.provider.careful(how.session, variant.precision)
            asked = msgspec.structs.replace(how, session=careful)
            found = ours.open(variant_call(model, PORTABLE, asked)).signature
        else:
            found = signature_of(model)
        refuse_signature(model, found, fixed(graph.signature, variant.sizes))
        theirs = start(variant.parent or PORTABLE)
        theirs.open(variant_call(path, variant.parent or PORTABLE, how))
        measured = ours
        if stand_in is not None:
            measured = start(f"{variant.name} as on {variant.target.provider}")
            measured.open(variant_call(stand_in, PORTABLE, how))
        assert measured is not None
        for dataset in datasets:
            for case in dataset.open():
                if progress is not None:
                    progress(comparison.cases, total)
                parents = theirs.run(case.feed).outputs
                if ours is not None and measured is not ours and dataset.split == "reference":
                    comparison.refuse_lost(
                        dataset, got=ours.run(case.feed).outputs, parents=parents
                    )
                got = measured.run(case.feed).outputs
                comparison.add(dataset, case, got=got, parents=parents)


def _measured_on(
    path: Path,
    package: Package,
    graph: Graph,
    evaluation: Dataset | None,
    *,
    sizes: Mapping[str, int],
) -> list[Dataset]:
    """Open the reference cases and what accuracy is measured on, which comes last."""
    found = [
        open_cases(path, package, cases)
        for cases in (graph.reference, None if evaluation else graph.evaluation)
        if cases is not None and cases.cases
    ]
    if evaluation is not None:
        found.append(msgspec.structs.replace(evaluation, split="test"))
    if sizes:
        fitted = [fitting_dataset(dataset, graph.signature, sizes) for dataset in found]
        found = [dataset for dataset in fitted if dataset.cases]
    if not found:
        raise BadValue(
            what="a package to add a variant to",
            asked=f"{path}, which has no case to measure it on",
            expected="one with reference cases: export it again",
        )
    return found
