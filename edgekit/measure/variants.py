"""The one door by which a variant enters a package: run beside its parent, measured, committed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from edgekit import providers
from edgekit.errors import BadValue
from edgekit.graph.summary import external_files, summarize
from edgekit.measure.admission import (
    refuse_beside,
    refuse_name,
    refuse_other_data,
    refuse_signature,
    with_variant,
)
from edgekit.measure.comparison import Comparison
from edgekit.measure.results import Quality
from edgekit.measure.ways import How, variant_call
from edgekit.metrics import Closeness
from edgekit.package import reading
from edgekit.package.cases import open_cases
from edgekit.package.editing import edit
from edgekit.package.locking import refuse_unlockable
from edgekit.package.values import PORTABLE, CaseFile, Graph, Package, Recipe, Target, Variant
from edgekit.workers import Worker

_WALL_S = 600.0


class Added(msgspec.Struct, frozen=True):
    """A variant that is in its package now, and what was measured on the way.

    `closeness` is that of the variant's answers to its parent's, by output, over the reference and
    the held-out cases; `quality` and `parent_quality` hold both against the original's answers on
    the held-out cases, None where the package has none. `notes` says what its user must know.
    """

    package: Package
    variant: Variant
    closeness: dict[str, Closeness]
    quality: Quality | None
    parent_quality: Quality | None
    cases: int
    notes: tuple[str, ...] = ()


def add_variant(
    path: Path,
    model: Path,
    *,
    name: str,
    parent: str,
    precision: str,
    target: Target,
    recipe: Recipe,
    overwrite: bool = False,
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
        recipe: how it was made.
        overwrite: replace a variant of this name, if it was made from another.
        how: how both are run; on the CPU unless something else is said.
        wall_s: how long loading, or a single run, may take.
        progress: called with the cases done and the cases in all.

    Raises:
        BadValue: the name is taken or reserved, or the model takes or gives other arrays.
        UnknownName: there is no such parent.
        ModelFileError: ONNX Runtime refuses the model, or it answers with NaN, infinities or
            another shape where its parent doesn't.
        NotFound, CorruptPackage, HashMismatch: the package can't be read.
        StorageError: the package can't be changed.
        MissingExtra: `onnx` is not installed.
    """
    package = reading.read(path)
    made_from = reading.variant_named(package, parent)
    refuse_name(path, package, name, overwrite=overwrite)
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
    )
    comparison = Comparison(package, graph, precision=precision, model=model)
    _compare(
        comparison,
        path,
        package,
        model,
        variant,
        how=how or How(),
        wall_s=wall_s,
        progress=progress,
    )
    variant = msgspec.structs.replace(variant, closeness=comparison.to_original())
    contents = {file: model.parent / file for file in variant.files} | {variant.model: model}

    def change(now: Package) -> tuple[Package, dict[str, Path]]:
        refuse_other_data(path, now, model, variant.files)
        return with_variant(path, now, package, variant, overwrite=overwrite), contents

    edited = edit(path, change)
    quality, parent_quality = comparison.quality()
    return Added(
        package=edited,
        variant=reading.variant_named(edited, name),
        closeness=comparison.to_parent(),
        quality=quality,
        parent_quality=parent_quality,
        cases=comparison.cases,
        notes=comparison.notes(),
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
    package: Package,
    model: Path,
    variant: Variant,
    *,
    how: How,
    wall_s: float,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Run every case through the new model and its parent, each in a process of its own."""
    graph = reading.graph_of(package, variant)
    datasets = [open_cases(path, package, cases) for cases in _measured_on(path, graph)]
    total = sum(dataset.cases for dataset in datasets)
    with (
        Worker(f"{path.name}/{variant.name}", wall_s=wall_s) as ours,
        Worker(f"{path.name}/{variant.parent}", wall_s=wall_s) as theirs,
    ):
        found = ours.open(variant_call(model, PORTABLE, how)).signature
        refuse_signature(model, found, graph.signature)
        theirs.open(variant_call(path, variant.parent or PORTABLE, how))
        for dataset in datasets:
            for case in dataset.open():
                if progress is not None:
                    progress(comparison.cases, total)
                comparison.add(
                    dataset,
                    case,
                    got=ours.run(case.feed).outputs,
                    parents=theirs.run(case.feed).outputs,
                )


def _measured_on(path: Path, graph: Graph) -> list[CaseFile]:
    found = [cases for cases in (graph.reference, graph.evaluation) if cases is not None]
    if not sum(cases.cases for cases in found):
        raise BadValue(
            what="a package to add a variant to",
            asked=f"{path}, which has no case to measure it on",
            expected="one with reference cases: export it again",
        )
    return found
