"""Which variants are timed and profiled: those that were asked for, and their float parents."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgekit.errors import UnknownName
from edgekit.measure.packages import candidates
from edgekit.measure.plan import Candidate
from edgekit.measure.subjects import Subject
from edgekit.measure.ways import How, variant_call
from edgekit.package import reading
from edgekit.package.values import PORTABLE, Package, Recipe, SessionChoice, Variant


class Runs(msgspec.Struct, frozen=True):
    """What is profiled: a variant of a package or an .onnx file, and its .onnx file itself."""

    path: Path
    variant: str
    file: Path
    session: SessionChoice
    label: str


class Listed(msgspec.Struct, frozen=True):
    """A variant to run: the name of its parent among those that run, None where there is none, and
    whether it is to be explained or stands there for another. One that `edgekit quantize` made has
    its recipe, and the variant that it was made from."""

    name: str
    candidate: Candidate
    runs: Runs
    parent: str | None
    asked: bool
    recipe: Recipe | None = None
    made_from: str = ""

    @property
    def label(self) -> str:
        return self.candidate.label


def listed(subject: Subject, how: How, *, parent: Path | None) -> tuple[list[Listed], list[str]]:
    """List what runs, parents first, and say why variants are left out.

    Raises:
        HashMismatch, CorruptPackage: a file isn't the one that was packed.
        UnknownName: the provider can be given none of the variants.
    """
    if subject.package is None:
        name = subject.path.stem
        if parent is None:
            return [_file(subject.path, how, name=name)], []
        before = parent.stem if parent.stem != name else "parent"
        return [
            msgspec.structs.replace(_file(parent, how, name=before), asked=False),
            msgspec.structs.replace(_file(subject.path, how, name=name), parent=before),
        ], []
    package = subject.package
    asked = [variant.name for variant in subject.variants]
    chosen = dict.fromkeys(asked)
    for name in asked:
        found = float_parent_of(package, reading.variant_named(package, name))
        if found is not None:
            chosen.setdefault(found.name)
    variants = tuple(v for v in package.variants if v.name in chosen)
    with_parents = msgspec.structs.replace(subject, variants=variants)
    running, unfit = candidates([with_parents], how)
    by_variant = {one.call.arguments["variant"]: one for one in running}
    left_out = [f"{one.label} is left out: {one.reason}" for one in unfit]
    if not any(name in by_variant for name in asked):
        raise UnknownName(
            kind="variant that can run",
            asked=", ".join(asked),
            available=[],
            of=f"on {how.session.provider}",
            action="; ".join(left_out),
        )
    return [
        _of_package(subject.path, package, variant, how, by_variant, asked=variant.name in asked)
        for variant in variants
        if variant.name in by_variant
    ], left_out


def float_parent_of(package: Package, variant: Variant) -> Variant | None:
    """Find the variant of more bits that another was made from, over those in between."""
    seen = {variant.name}
    one = variant
    while one.parent is not None and one.parent not in seen:
        seen.add(one.parent)
        one = reading.variant_named(package, one.parent)
        if one.precision != variant.precision or one.parent is None:
            return one
    return None


def _of_package(
    path: Path,
    package: Package,
    variant: Variant,
    how: How,
    by_variant: dict[str, Candidate],
    *,
    asked: bool,
) -> Listed:
    for file in reading.files_of(variant):
        reading.open_verified(path, file, package.files[file])
    parent = float_parent_of(package, variant)
    # Nothing here holds answers against the parent's: that is what check and compare are for.
    candidate = msgspec.structs.replace(by_variant[variant.name], tolerance={})
    return Listed(
        name=variant.name,
        candidate=candidate,
        runs=Runs(
            path=path,
            variant=variant.name,
            file=path / variant.model,
            session=how.provider.careful(how.session, variant.precision),
            label=candidate.label,
        ),
        parent=parent.name if parent is not None and parent.name in by_variant else None,
        asked=asked,
        recipe=variant.recipe,
        made_from=variant.parent or "",
    )


def _file(path: Path, how: How, *, name: str) -> Listed:
    label = f"{name} · {how.session.provider}"
    candidate = Candidate(label, variant_call(path, PORTABLE, how), path.stat().st_size)
    runs = Runs(path, PORTABLE, path, how.session, label)
    return Listed(name, candidate, runs, None, asked=True)
