"""From a package to the same package with one variant more, and a verdict on it."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from edgekit import providers
from edgekit.budgets import Budget, Verdict
from edgekit.measure.admission import refuse_name
from edgekit.measure.parents import float_parent
from edgekit.measure.results import Quality
from edgekit.measure.variants import Added, add_variant
from edgekit.metrics import Closeness
from edgekit.package import commit, reading
from edgekit.package.locking import refuse_unlockable
from edgekit.package.values import PORTABLE, Package, Variant
from edgekit.providers.targets import described
from edgekit.quantize import scheme as schemes
from edgekit.quantize import targets
from edgekit.quantize.feeding import Given, given_data
from edgekit.quantize.scheme import Settings, Work, measured_in_place
from edgekit.shown import Shown
from edgekit.terms import Scheme, Undecided

log = logging.getLogger("edgekit")

_WALL_S = 600.0
ENOUGH_COSINE = 0.99
"""An output that turns further away than this from the float variant's is worth a warning."""


class Quantized(Shown, msgspec.Struct, frozen=True):
    """A variant of fewer bits: what was made, what stayed in float32, and what it kept.

    `closeness` is that of its answers to its parent's, by output, over `cases` reference and
    held-out cases; `quality` and `parent_quality` hold both against the original on the held-out
    ones, and `verdicts` says what each budget says of that. `nodes` compute in the new precision;
    `kept` has the others that could by name, and why. The values of `looked_at` cases decided, and
    `looks` whole models were judged to find nodes to leave in float. `made_for` says where it pays,
    `target` on what it is right, `warnings` what speaks against using it. `measured_on` says where
    the figures come from.
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
    target: str
    measured_on: str
    verdicts: tuple[Verdict, ...] = ()
    looks: int = 0
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def quantize(
    package: str | os.PathLike[str],
    *,
    scheme: Scheme,
    name: str | None = None,
    keep_float: Sequence[str] = (),
    target: str | None = None,
    variant: str = PORTABLE,
    settings: Settings | None = None,
    calib_data: str | None = None,
    eval_data: str | None = None,
    synthetic: bool = False,
    budgets: Sequence[Budget] = (),
    undecided: Undecided = "reject",
    repair: bool = True,
    overwrite: bool = False,
    wall_s: float = _WALL_S,
    progress: Callable[[int, int], None] | None = None,
) -> Quantized:
    """Make a variant of fewer bits, measure it beside its float parent, and add it to the package.

    With a budget, the fewest nodes are left in float with which it is kept; where none are enough
    the package stays as it is.

    Args:
        package: the package's folder.
        scheme: how; see `edgekit.terms.Scheme`.
        name: what the variant is called; the scheme's name unless given.
        keep_float: nodes that stay in float32, by name; one without a name is called by its
            operator and first output ("Add:sum").
        target: what it is made for: an execution provider, or a kind of processor, see
            `edgekit.quantize.targets.words`; the scheme has a default.
        variant: the float32 variant that it is made from; the first one unless given.
        settings: how the scheme does it, where it leaves a choice.
        calib_data: where real values to measure come from, see `edgekit.data.open_data`; the
            package's own calibration cases unless given.
        eval_data: what accuracy is measured on; the package's own held-out cases unless given.
        synthetic: measure made-up values where there are no real ones; the variant says so.
        budgets: what it must keep of the original's accuracy.
        undecided: whether a variant on which the cases don't decide is added all the same.
        repair: look for nodes to leave in float where a budget is missed.
        overwrite: replace a variant of that name.
        wall_s: how long loading a model, or a single run, may take.
        progress: called with the cases done and the cases in all, of one step after the other.

    Raises:
        UnknownName: no such scheme, target, variant or node.
        BadValue: the name is taken or reserved, the variant isn't float32, the target can't take
            the scheme, data are missing, overlap or don't fit, or `package` is an .onnx file.
        GateFailed: a budget is missed, or the cases don't decide; the package stays as it was.
        ModelFileError: the new model answers with NaN, infinities or another shape.
        NotFound, CorruptPackage, HashMismatch: the package or the data can't be read.
        StorageError: the package can't be changed.
        MissingExtra: `onnx` is not installed.
    """
    info = schemes.find(scheme)  # says what is missing where `onnx` is
    # Imported late: what prints a result does without `onnx`.
    from edgekit.quantize.elements import read_typed
    from edgekit.quantize.floats.limits import known_nodes
    from edgekit.quantize.searching.repairing import Mended, repaired

    path = Path(package)
    settings = settings or Settings()
    info.refuse_unheeded(settings)
    made_for = targets.resolve(target, info)
    rules = providers.find(made_for.provider).quant_rules(info.name, made_for)
    packed, parent = float_parent(path, variant, what=f"what {info.name} is made from")
    named = info.name if name is None else name
    refuse_name(path, packed, name=named, overwrite=overwrite)
    refuse_unlockable(path)
    known_nodes(read_typed(path / parent.model), keep_float, path=path / parent.model)
    data = given_data(
        path,
        packed,
        parent,
        info=info,
        calib_data=calib_data,
        eval_data=eval_data,
        synthetic=synthetic,
    )
    with tempfile.TemporaryDirectory(prefix="edgekit-") as scratch:
        model = Path(scratch) / f"{named}.onnx"
        log.info("measuring what %s's values are", parent.name)
        work = Work(
            model=path / parent.model,
            scratch=model.parent,
            feeds=data.feeds,
            cases=data.cases,
            target=made_for,
            rules=rules,
            calibration=data.calibration,
            settings=settings,
            wall_s=wall_s,
            progress=progress,
        )
        with commit.storage_errors(model.parent):
            write = info.prepare(work)
            if budgets and repair:
                mended = repaired(
                    path,
                    packed,
                    parent,
                    scheme=info.name,
                    write=write,
                    output=model,
                    work=work,
                    keep_float=keep_float,
                    budgets=budgets,
                    undecided=undecided,
                    evaluation=data.evaluation,
                )
            else:
                mended = Mended(write(model, tuple(keep_float)))
        made = mended.made
        stand_in = measured_in_place(made, made_for.provider)
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
            evaluation=data.evaluation,
            budgets=budgets,
            undecided=undecided,
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
        target=described(made_for),
        measured_on=f"this CPU, every node's answer rounded as hardware for {info.precision} does"
        if stand_in
        else "this CPU",
        verdicts=added.verdicts,
        looks=mended.looks,
        notes=(*made.notes, *mended.notes),
        warnings=_warnings(added, data),
    )


def _size(package: Package, variant: Variant) -> int:
    return sum(package.files[file].size for file in reading.files_of(variant))


def _warnings(added: Added, data: Given) -> tuple[str, ...]:
    """Say what a user must not overlook: accuracy that was lost, and answers that turned away."""
    found = []
    ours = added.quality
    if ours is not None and ours.drop is not None and ours.drop.low > 0:
        found.append(
            f"it names the right class {100 * ours.drop.value:.2f} points less often than the "
            f"original ({100 * ours.drop.low:.2f} to {100 * ours.drop.high:.2f}) on {ours.cases:,} "
            f"{ours.dataset}"
        )
    found += [
        f"{name} has cosine {distance.cosine:.4f} to the float variant's in the worst case; a "
        f"budget finds the nodes to leave in float: --min-cosine {ENOUGH_COSINE}"
        for name, distance in added.closeness.items()
        if distance.cosine < ENOUGH_COSINE
    ]
    if data.synthetic:
        found.append("made with made-up values: give real ones with --calib-data")
    if data.repeated:
        found.append(data.repeated)
    return (*found, *added.notes)
