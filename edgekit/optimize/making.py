"""From a package to the same package with a faster float variant, if there is one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import get_args

import msgspec

from edgekit import machine as machines
from edgekit.errors import BadValue
from edgekit.fixed_sizes import fitting, in_words
from edgekit.measure.admission import refuse_name
from edgekit.measure.parents import float_parent
from edgekit.measure.plan import Plan
from edgekit.measure.variants import add_variant
from edgekit.optimize.racing import course
from edgekit.optimize.results import Optimized
from edgekit.optimize.searching import Search, renamed
from edgekit.package import commit, reading
from edgekit.package.cases import open_cases
from edgekit.package.locking import refuse_unlockable
from edgekit.package.values import PORTABLE, Graph, Package, Target, Variant
from edgekit.tensors import Case, dynamic_dims, random_outputs
from edgekit.terms import Pass

_WALL_S = 600.0


def optimize(
    package: str | os.PathLike[str],
    *,
    name: str = "optimized",
    passes: Sequence[Pass] | None = None,
    sizes: Mapping[str, int] | None = None,
    variant: str = PORTABLE,
    keep_all: bool = False,
    overwrite: bool = False,
    plan: Plan | None = None,
    wall_s: float = _WALL_S,
    progress: Callable[[int, int], None] | None = None,
) -> Optimized:
    """Try passes that leave the numbers as they are, and add a variant made by those that pay.

    Each pass is tried on what the ones before it left. Its model must answer the reference cases
    within the tolerance that the package records, and must be faster here by more than the timing
    is unsure of. Where none is kept, the package stays as it is.

    Args:
        package: the package's folder.
        name: what the variant is called.
        passes: which to try, in their order; all unless given. See `edgekit.terms.Pass`.
        sizes: dynamic dimensions to fix, by name: the variant then takes no others.
        variant: the float32 variant to start from; the first one unless given.
        keep_all: keep passes that don't pay here too, if their answers are equal.
        overwrite: replace a variant of that name.
        plan: how much to measure of each pass.
        wall_s: how long loading a model, or a single run, may take.
        progress: called with the turns done and the turns in all, of one race after the other.

    Raises:
        UnknownName: no such pass or variant.
        BadValue: the name is taken or reserved, the variant isn't float32, a size isn't one that
            the model takes, no reference case fits, or `package` is an .onnx file.
        ModelFileError: the variant can't be read, or isn't what its package recorded.
        NotFound, CorruptPackage, HashMismatch: the package can't be read.
        StorageError: the package can't be changed.
        MissingExtra: `onnx` or `onnx-ir` is not installed.
    """
    from edgekit.optimize.pass_info import find  # results are read without `onnx`

    asked: tuple[Pass, ...] = tuple(dict.fromkeys(get_args(Pass) if passes is None else passes))
    bound = {one for one in asked if find(one).bound}
    path = Path(package)
    packed, parent = float_parent(path, variant, what="what is optimized")
    refuse_name(path, packed, name=name, overwrite=overwrite)
    refuse_unlockable(path)
    graph = reading.graph_of(packed, parent)
    fixed = {**parent.sizes, **(sizes or {})}
    cases = _cases(path, packed, graph, fixed)
    random = random_outputs(graph.signature)
    with tempfile.TemporaryDirectory(prefix="edgekit-") as scratch:
        search = Search(
            folder=Path(scratch),
            model=path / parent.model,
            cases=cases,
            tolerances={e.output: e.tolerance for e in parent.closeness if e.output not in random},
            on=course(graph.signature, cases[0].feed, sizes=fixed, plan=plan or Plan()),
            random=random,
            keep_all=keep_all,
            wall_s=wall_s,
            progress=progress,
        )
        with commit.storage_errors(search.folder):
            search.begin()
            if sizes:
                search.attempt("sizes", sizes=sizes)
            for one in asked:
                if one != "sizes":
                    search.attempt(one)
            final = search.finish()
            done = Optimized(
                parent=parent.name,
                tried=tuple(search.tried),
                variant=None,
                size_bytes=None,
                parent_bytes=_size(packed, parent),
                timed_at=search.on.sizes,
                cases=len(cases),
                sizes=fixed,
                speedup=final.speedup if final else None,
                machine=machines.summary(machines.describe()),
                races=tuple(search.races),
            )
            slower = final is not None and not final.faster and not (keep_all or sizes)
            if final is None or slower:
                note = (
                    "all kept passes together are not faster by more than the timing is unsure",
                )
                return msgspec.structs.replace(done, notes=note if slower else ())
            made = renamed(search.model, search.folder / name / f"{name}.onnx")
            added = add_variant(
                path,
                made,
                name=name,
                parent=parent.name,
                precision=parent.precision,
                target=_target(parent, bound=bool(bound & set(search.kept))),
                passes=(*parent.passes, *search.kept),
                sizes=fixed,
                overwrite=overwrite,
                wall_s=wall_s,
            )
    return msgspec.structs.replace(
        done,
        variant=added.variant,
        size_bytes=_size(added.package, added.variant),
        notes=added.notes,
    )


def _cases(path: Path, package: Package, graph: Graph, sizes: Mapping[str, int]) -> list[Case]:
    """Give the reference cases that fit the sizes.

    Raises:
        BadValue: there is none.
    """
    dims = dynamic_dims(graph.signature)
    for name, size in sizes.items():
        if name not in dims:
            raise BadValue(
                what="a size",
                asked=f"{name}={size}",
                expected=f"one of the dynamic dimensions: {', '.join(dims) or 'there are none'}",
            )
    reference = graph.reference
    found = list(open_cases(path, package, reference).open()) if reference is not None else []
    if sizes:
        found = list(fitting(found, graph.signature, sizes))
    if not found:
        at = f" at {in_words(sizes)}" if sizes else ""
        raise BadValue(
            what=f"what is optimized of {path}",
            asked=f"a graph without a reference case{at}",
            expected="one whose answers were recorded, to hold the new ones against",
        )
    return found


def _target(parent: Variant, *, bound: bool) -> Target:
    """Say where the variant is right: on this processor alone after a pass that is bound to it."""
    if not bound:
        return parent.target
    machine = machines.describe()
    return msgspec.structs.replace(parent.target, arch=machine.arch, isa=tuple(machine.isa))


def _size(package: Package, variant: Variant) -> int:
    return sum(package.files[file].size for file in reading.files_of(variant))
