"""The one door by which a variant enters a package: run beside its parent, measured, committed."""

from __future__ import annotations

import contextlib
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
    stand_in: Path | None = None,
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
        stand_in: another .onnx file whose answers are measured in the model's place: it answers
            here as the model does on its target. The model itself is run on the reference cases.
        how: how both are run; on the CPU unless something else is said.
        wall_s: how long loading, or a single run, may take.
        progress: called with the cases done and the cases in all.

    Raises:
        BadValue: the name is taken or reserved, or there is no case to measure on.
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
    )
    comparison = Comparison(package, graph, precision=precision, model=model)
    _compare(
        comparison,
        path,
        package,
        model,
        variant,
        stand_in=stand_in,
        how=how or How(),
        wall_s=wall_s,
        progress=progress,
    )
    variant = msgspec.structs.replace(variant, closeness=comparison.to_original())
    contents = {file: model.parent / file for file in variant.files} | {variant.model: model}

    def change(now: Package) -> tuple[Package, dict[str, Path]]:
        refuse_other_data(path, now, model=model, beside=variant.files)
        edited = with_variant(path, now, measured=package, variant=variant, overwrite=overwrite)
        return edited, contents

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
    stand_in: Path | None,
    how: How,
    wall_s: float,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Run every case through the new model and its parent, each in a process of its own."""
    graph = reading.graph_of(package, variant)
    datasets = [open_cases(path, package, cases) for cases in _measured_on(path, graph)]
    total = sum(dataset.cases for dataset in datasets)
    with contextlib.ExitStack() as stack:

        def start(name: str) -> Worker:
            return stack.enter_context(Worker(f"{path.name}/{name}", wall_s=wall_s))

        ours, theirs = start(variant.name), start(variant.parent or PORTABLE)
        careful = how.provider.careful(how.session, variant.precision)
        asked = msgspec.structs.replace(how, session=careful)
        found = ours.open(variant_call(model, PORTABLE, asked)).signature
        refuse_signature(model, found, graph.signature)
        theirs.open(variant_call(path, variant.parent or PORTABLE, how))
        measured = ours
        if stand_in is not None:
            measured = start(f"{variant.name} as on {variant.target.provider}")
            measured.open(variant_call(stand_in, PORTABLE, how))
        for dataset in datasets:
            for case in dataset.open():
                if progress is not None:
                    progress(comparison.cases, total)
                parents = theirs.run(case.feed).outputs
                if measured is not ours and dataset.split == "reference":
                    comparison.refuse_lost(
                        dataset, got=ours.run(case.feed).outputs, parents=parents
                    )
                got = measured.run(case.feed).outputs
                comparison.add(dataset, case, got=got, parents=parents)


def _measured_on(path: Path, graph: Graph) -> list[CaseFile]:
    found = [cases for cases in (graph.reference, graph.evaluation) if cases is not None]
    if not sum(cases.cases for cases in found):
        raise BadValue(
            what="a package to add a variant to",
            asked=f"{path}, which has no case to measure it on",
            expected="one with reference cases: export it again",
        )
    return found
