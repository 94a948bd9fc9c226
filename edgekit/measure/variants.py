"""The one door by which a variant enters a package: run beside its parent, measured, committed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgekit import providers
from edgekit.errors import BadValue, ModelFileError, StorageError
from edgekit.graph.summary import external_files, summarize
from edgekit.measure.comparison import Comparison
from edgekit.measure.results import Quality
from edgekit.measure.ways import How, variant_call
from edgekit.metrics import Closeness
from edgekit.package import commit, reading
from edgekit.package.cases import open_cases
from edgekit.package.editing import edit
from edgekit.package.values import (
    PORTABLE,
    RESERVED_NAMES,
    CaseFile,
    Graph,
    Package,
    Recipe,
    Target,
    Variant,
)
from edgekit.tensors import Dim, Signature, TensorSpec
from edgekit.workers import Worker

_WALL_S = 600.0
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


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
    graph = reading.graph_of(package, made_from)
    variant = Variant(
        name=name,
        graph=graph.name,
        model=f"{name}.onnx",
        files=tuple(external_files(model)),
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
        _refuse_other_data(path, now, model, variant.files)
        return _with(path, now, package, variant, overwrite=overwrite), contents

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


def refuse_name(path: Path, package: Package, name: str, *, overwrite: bool) -> None:
    """Raise BadValue for a name that a new variant can't have, before anything long starts."""
    what = f"the name of a new variant of {path}"
    if not _NAME.fullmatch(name):
        expected = "letters, digits, dots, hyphens and underscores, no dot or hyphen first"
        raise BadValue(what=what, asked=repr(name), expected=expected)
    if name in RESERVED_NAMES:
        raise BadValue(what=what, asked=name, expected="a word that isn't reserved")
    taken = next((variant for variant in package.variants if variant.name == name), None)
    if taken is None:
        return
    if taken.parent is None:
        raise BadValue(
            what=what,
            asked=f"{name}, which is what the others are made from and is never replaced",
            expected="another: --name NAME",
        )
    children = [variant.name for variant in package.variants if variant.parent == name]
    if children:
        raise BadValue(
            what=what,
            asked=f"{name}, from which {', '.join(children)} was made",
            expected="another: --name NAME",
        )
    if not overwrite:
        raise BadValue(
            what=what,
            asked=f"{name}, which is there already",
            expected="another with --name NAME, or --overwrite to replace that one",
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
        _refuse_signature(model, found, graph.signature)
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


def _refuse_signature(model: Path, found: Signature, expected: Signature) -> None:
    for part in ("inputs", "outputs"):
        theirs, ours = getattr(found, part), getattr(expected, part)
        loose = part == "outputs"
        if len(theirs) != len(ours) or not all(
            _fits(*pair, loose=loose) for pair in zip(theirs, ours, strict=True)
        ):
            said, wanted = ("; ".join(map(str, specs)) or "none" for specs in (theirs, ours))
            raise ModelFileError(
                path=model.name,
                problem=f"its {part} are ({said}), and those of the package are ({wanted})",
            )


def _fits(found: TensorSpec, expected: TensorSpec, *, loose: bool) -> bool:
    """Tell whether a model's input or output can be the package's, which may narrow its sizes.

    What comes out follows from what goes in: there (`loose`) only two sizes can disagree.
    """
    named = (found.name, found.dtype, len(found.shape)) == (
        expected.name,
        expected.dtype,
        len(expected.shape),
    )
    return named and all(
        isinstance(theirs, Dim) or theirs == ours or (loose and isinstance(ours, Dim))
        for theirs, ours in zip(found.shape, expected.shape, strict=True)
    )


def _refuse_other_data(path: Path, now: Package, model: Path, beside: Sequence[str]) -> None:
    """Refuse external data whose name the package uses for other content: `model` names it so."""
    for name in beside:
        listed = now.files.get(name)
        if listed is not None and listed != commit.record_of(model.parent / name):
            raise ModelFileError(
                path=model.name,
                problem=f"its external data is called {name}, as another file of {path} is",
            )


def _with(
    path: Path, now: Package, measured: Package, variant: Variant, *, overwrite: bool
) -> Package:
    """Add a variant to the package as it is now, if what it was measured against is still there."""
    refuse_name(path, now, variant.name, overwrite=overwrite)
    if _basis(now, variant) != _basis(measured, variant):
        raise StorageError(
            path=str(path),
            problem=f"another process has changed {variant.parent} or its cases while "
            f"{variant.name} was measured against them; do it again",
        )
    if not any(other.name == variant.name for other in now.variants):
        return msgspec.structs.replace(now, variants=(*now.variants, variant))
    variants = tuple(variant if v.name == variant.name else v for v in now.variants)
    return msgspec.structs.replace(now, variants=variants)


def _basis(package: Package, variant: Variant) -> Any:
    """What a variant was measured against: its parent, down to the files' hashes, and the cases."""
    parent = next((v for v in package.variants if v.name == variant.parent), None)
    if parent is None:
        return None
    graph = reading.graph_of(package, parent)
    files = [package.files[name].sha256 for name in reading.files_of(parent)]
    cases = [package.files[c.file].sha256 for c in (graph.reference, graph.evaluation) if c]
    return parent.graph, graph.signature, files, cases
