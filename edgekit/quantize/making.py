"""From a package to the same package with one variant more, and a verdict on it."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from edgekit import providers
from edgekit.errors import BadValue, CorruptPackage
from edgekit.graph.summary import external_files
from edgekit.measure.admission import refuse_name
from edgekit.measure.results import Quality
from edgekit.measure.variants import Added, add_variant, target_named
from edgekit.metrics import Closeness
from edgekit.package import commit, reading
from edgekit.package.cases import open_cases
from edgekit.package.locking import refuse_unlockable
from edgekit.package.values import PORTABLE, Calibration, CaseFile, Graph, Package, Variant
from edgekit.quantize import scheme as schemes
from edgekit.quantize.elements import read_typed
from edgekit.quantize.limits import known_nodes
from edgekit.quantize.scheme import Work
from edgekit.tensors import Feed
from edgekit.terms import Scheme

log = logging.getLogger("edgekit")

_WALL_S = 600.0
_HERE = "cpu"
ENOUGH_COSINE = 0.999
"""An output that turns further away than this from the float variant's is worth a warning."""


class Quantized(msgspec.Struct, frozen=True):
    """A variant of fewer bits: what was made, what stayed in float32, and what it kept.

    `closeness` is that of its answers to its parent's, by output, over `cases` reference and
    held-out cases; `quality` and `parent_quality` hold both against the original on the held-out
    ones. `nodes` compute in the new precision; `kept` has the others by name, and why, decided on
    the values of `looked_at` cases. `made_for` says where it pays, `warnings` what speaks against
    using it. `measured_on` says where the figures come from.
    """

    variant: Variant
    size_bytes: int
    parent_bytes: int
    nodes: int
    kept: dict[str, str]
    looked_at: int
    cases: int
    closeness: dict[str, Closeness]
    quality: Quality | None
    parent_quality: Quality | None
    made_for: str
    measured_on: str
    warnings: tuple[str, ...] = ()


def quantize(
    package: str | os.PathLike[str],
    *,
    scheme: Scheme,
    name: str | None = None,
    keep_float: Sequence[str] = (),
    target: str | None = None,
    variant: str = PORTABLE,
    overwrite: bool = False,
    wall_s: float = _WALL_S,
    progress: Callable[[int, int], None] | None = None,
) -> Quantized:
    """Make a variant of fewer bits, measure it beside its float parent, and add it to the package.

    Args:
        package: the package's folder.
        scheme: how; see `edgekit.terms.Scheme`.
        name: what the variant is called; the scheme's name unless given.
        keep_float: nodes that stay in float32, by name; one without a name is called by its
            operator and first output ("Add:sum").
        target: the execution provider that it is made for; the scheme has a default.
        variant: the float32 variant that it is made from; the first one unless given.
        overwrite: replace a variant of that name.
        wall_s: how long loading a model, or a single run, may take.
        progress: called with the cases done and the cases in all, of one step after the other.

    Raises:
        UnknownName: no such scheme, target, variant or node.
        BadValue: the name is taken or reserved, the variant isn't float32, or `package` is an
            .onnx file.
        ModelFileError: the new model answers with NaN, infinities or another shape.
        NotFound, CorruptPackage, HashMismatch: the package can't be read.
        StorageError: the package can't be changed.
        MissingExtra: `onnx` is not installed.
    """
    path = Path(package)
    _refuse_plain(path)
    info = schemes.find(scheme)
    made_for = target_named(info.target if target is None else target)
    packed = reading.read(path)
    parent = reading.variant_named(packed, variant)
    if parent.precision != "fp32":
        raise BadValue(
            what=f"what {info.name} is made from",
            asked=f"{parent.name}, which is {parent.precision}",
            expected="a variant in float32",
        )
    named = info.name if name is None else name
    refuse_name(path, packed, name=named, overwrite=overwrite)
    refuse_unlockable(path)
    _verify(path, packed, parent)
    graph = reading.graph_of(packed, parent)
    looked_at = graph.calibration or graph.reference
    rules = providers.find(made_for.provider).quant_rules(info.name, made_for)
    with tempfile.TemporaryDirectory(prefix="edgekit-") as scratch:
        model = Path(scratch) / f"{named}.onnx"
        log.info("measuring what %s's values are", parent.name)
        work = Work(
            model=path / parent.model,
            scratch=model.parent,
            feeds=lambda: _feeds(path, packed, graph),
            cases=looked_at.cases if looked_at is not None else 0,
            target=made_for,
            rules=rules,
            calibration=_calibration(looked_at),
            wall_s=wall_s,
            progress=progress,
        )
        known_nodes(read_typed(work.model), keep_float, path=work.model)
        with commit.storage_errors(model.parent):
            made = info.prepare(work)(model, tuple(keep_float))
        # On the CPU the model itself says how it answers there.
        stand_in = made.stand_in if made_for.provider != _HERE else None
        log.info("measuring %s beside %s", named, parent.name)
        added = add_variant(
            path,
            model,
            name=named,
            parent=parent.name,
            precision=info.precision,
            target=made_for,
            recipe=made.recipe,
            overwrite=overwrite,
            stand_in=stand_in,
            wall_s=wall_s,
            progress=progress,
        )
    return Quantized(
        variant=added.variant,
        size_bytes=_size(added.package, added.variant),
        parent_bytes=_size(packed, parent),
        nodes=len(made.nodes),
        kept=made.kept,
        looked_at=made.cases,
        cases=added.cases,
        closeness=added.closeness,
        quality=added.quality,
        parent_quality=added.parent_quality,
        made_for=info.where,
        measured_on=f"this CPU, every node's answer rounded as hardware for {info.precision} does"
        if stand_in
        else "this CPU",
        warnings=_warnings(added),
    )


def _refuse_plain(path: Path) -> None:
    if path.suffix.lower() == ".onnx" and not path.is_dir():
        raise BadValue(
            what="what gets a variant of fewer bits",
            asked=f"{path}, a plain .onnx file",
            expected=f"a model package; make one with: edgekit export {path}",
        )


def _verify(path: Path, package: Package, parent: Variant) -> None:
    """Hash what is about to be read, and see that the model names no other files than those."""
    for file in reading.files_of(parent):
        reading.open_verified(path, file, package.files[file])
    strangers = set(external_files(path / parent.model)) - set(parent.files)
    if strangers:
        raise CorruptPackage(
            path=str(path),
            problem=f"{parent.model} names external data that isn't listed: {min(strangers)!r}",
        )


def _feeds(path: Path, package: Package, graph: Graph) -> Iterator[Feed]:
    """Give what went in on the training side, or else in the reference cases."""
    cases = graph.calibration or graph.reference
    if cases is not None:
        for case in open_cases(path, package, cases).open():
            yield case.feed


def _calibration(cases: CaseFile | None) -> Calibration | None:
    if cases is None:
        return None
    return Calibration(cases.name, cases.cases, synthetic=cases.synthetic)


def _size(package: Package, variant: Variant) -> int:
    return sum(package.files[file].size for file in reading.files_of(variant))


def _warnings(added: Added) -> tuple[str, ...]:
    """Say what a user must not overlook: accuracy that was lost, and answers that turned away."""
    found = []
    ours, parents = added.quality, added.parent_quality
    lost = (
        ours is not None
        and parents is not None
        and ours.accuracy is not None
        and parents.accuracy is not None
        and ours.accuracy.high < parents.accuracy.low
    )
    if lost and ours and parents and ours.accuracy and parents.accuracy:
        found.append(
            f"accuracy fell from {100 * parents.accuracy.value:.1f} % to "
            f"{100 * ours.accuracy.value:.1f} % of {ours.accuracy.n:,} {ours.dataset}, further "
            "than the intervals of both allow"
        )
    found += [
        f"{name} has cosine {distance.cosine:.4f} to the float variant's, less than {ENOUGH_COSINE}"
        for name, distance in added.closeness.items()
        if distance.cosine < ENOUGH_COSINE
    ]
    return (*found, *added.notes)
