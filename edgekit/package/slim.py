"""What goes to the device: a copy of a package with few of its variants and cases.

The source is only read. The copy holds the source's files as they are, but for the reference cases,
of which a few are written anew; the same source and wishes give the same bytes.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit import machine as machines
from edgekit.errors import BadValue, NotTuned, StorageError
from edgekit.package import cases as case_files
from edgekit.package import choices, commit, manifest, reading
from edgekit.package.slimmed import Slimmed, parts_of
from edgekit.package.values import TUNED, CaseFile, Graph, Package, Target, Variant
from edgekit.tensors import Case


def slim(
    source: Path,
    out: Path,
    *,
    variants: Sequence[str] = (TUNED,),
    cases: int = 3,
    keep_evaluation: bool = False,
    with_portable: bool = False,
    overwrite: bool = False,
) -> Slimmed:
    """Write a copy of a package with what a device needs, and nothing else.

    Args:
        source: the package's folder.
        out: the new package's folder, outside of `source`.
        variants: the names of those to keep; "tuned" is what was chosen on this kind of machine.
        cases: how many reference cases of each graph to keep, of the smallest to the largest sizes.
        keep_evaluation: keep the held-out cases too.
        with_portable: keep the first variant of each graph that stays, which is right on every
            processor.
        overwrite: replace the package that is at `out`.

    Raises:
        NotTuned: "tuned" was asked for and nothing was chosen here that still holds.
        UnknownName: there is no such variant.
        BadValue: `out` and `source` lie in each other, or no variant or no case would be left.
        WouldOverwrite: `out` exists.
        NotFound, CorruptPackage, HashMismatch: the source isn't a package, or not what was packed.
        StorageError: the disk is full or not writable; what was there before still stands.
    """
    if source.is_file():
        raise BadValue(
            what="what is slimmed",
            asked=str(source),
            expected=f"a model package; make one with: edgekit export {source}",
        )
    _refuse_nested(source, out)
    if cases < 1 or not variants:
        raise BadValue(
            what="what is kept",
            asked="no reference case" if variants else "no variant",
            expected="at least one: a device checks itself with it",
        )
    package = reading.read(source)
    kept = _kept(source, package, variants, with_portable=with_portable)
    graphs = [graph for graph in package.graphs if any(v.graph == graph.name for v in kept)]
    contents: dict[str, bytes | Path] = {}
    slimmed = msgspec.structs.replace(
        package,
        variants=_in_order(kept, graphs),
        graphs=tuple(
            _with_few_cases(source, package, graph, cases, keep_evaluation, contents)
            for graph in graphs
        ),
        files={},
    )
    with commit.new_package(out, overwrite=overwrite) as folder:
        for name in dict.fromkeys(manifest.referenced_files(slimmed)):
            if name not in contents:
                copy = folder / f".{secrets.token_hex(8)}{commit.PARTIAL}"
                with commit.storage_errors(out):
                    reading.copy_verified(source, name, package.files[name], to=copy)
                contents[name] = copy
        slimmed = commit.commit(folder, slimmed, contents)
        carried = _carry_choices(source, package, folder, slimmed)
        after = (folder / manifest.NAME).stat().st_size
    before = (source / manifest.NAME).stat().st_size
    parts = parts_of(package, slimmed, manifests=(before, after))
    return Slimmed(
        name=package.name,
        variants=tuple(variant.name for variant in slimmed.variants),
        left_out=tuple(v.name for v in package.variants if v not in kept),
        parts=parts,
        before_bytes=sum(part.before_bytes for part in parts),
        after_bytes=sum(part.after_bytes for part in parts),
        machines=tuple(carried),
        notes=tuple(_notes(package, slimmed, source)),
    )


def _refuse_nested(source: Path, out: Path) -> None:
    """Raise BadValue where one of the two folders is the other, or lies in it."""
    ours, theirs = source.resolve(), out.resolve()
    if ours == theirs or ours in theirs.parents or theirs in ours.parents:
        raise BadValue(what="-o", asked=str(out), expected=f"a folder outside of {source}")


def _kept(
    source: Path, package: Package, names: Sequence[str], *, with_portable: bool
) -> list[Variant]:
    kept = [
        reading.variant_named(package, _chosen(source, package) if name == TUNED else name)
        for name in names
    ]
    if with_portable:
        first = {v.graph: v for v in reversed(package.variants)}
        kept += [first[variant.graph] for variant in kept]
    return [variant for variant in package.variants if variant in kept]


def _chosen(source: Path, package: Package) -> str:
    """Name what was chosen on this kind of machine; elsewhere its name must be typed."""
    key = machines.speed_key(machines.describe())
    chosen = choices.chosen_on(source, package, key)
    if chosen is not None:
        return chosen.winner.variant
    others = choices.chosen_elsewhere(source, package, here=key)
    known = "; ".join(f"{other.winner.variant} on {other.machine}" for other in others)
    raise NotTuned(
        path=str(source),
        cause=f"it was tuned on other kinds of machine alone ({known})"
        if known
        else "nothing was chosen on this kind of machine",
        mend=(
            f"Name one of those with --variant, or run 'edgekit tune {source}'."
            if known
            else f"Run 'edgekit tune {source}', or name a variant with --variant."
        ),
    )


def _in_order(kept: Sequence[Variant], graphs: Sequence[Graph]) -> tuple[Variant, ...]:
    """Put variants in the order of their graphs, those that are bound to a processor last."""
    names = [graph.name for graph in graphs]
    return tuple(sorted(kept, key=lambda v: (names.index(v.graph), v.target.isa is not None)))


def _with_few_cases(
    source: Path,
    package: Package,
    graph: Graph,
    n: int,
    keep_evaluation: bool,
    contents: dict[str, bytes | Path],
) -> Graph:
    """Leave a few reference cases to a graph; `contents` gets their file."""
    reference = graph.reference
    if reference is not None and reference.cases > n:
        found = list(case_files.open_cases(source, package, reference).open())
        reference = _written(reference, _spread(found, n), contents)
    return msgspec.structs.replace(
        graph,
        reference=reference,
        evaluation=graph.evaluation if keep_evaluation else None,
        calibration=None,
    )


def _spread(found: list[Case], n: int) -> list[Case]:
    """Pick cases from the smallest to the largest, in the order in which they were recorded."""
    by_size = sorted(
        range(len(found)), key=lambda i: sum(array.size for array in found[i].feed.values())
    )
    last = len(found) - 1
    picked = {by_size[round(i * last / (n - 1))] for i in range(n)} if n > 1 else {by_size[0]}
    return [found[i] for i in sorted(picked)]


def _written(before: CaseFile, kept: list[Case], contents: dict[str, bytes | Path]) -> CaseFile:
    contents[before.file] = case_files.encode(kept)
    digest = case_files.content_sha256_of_all(kept)
    return msgspec.structs.replace(before, cases=len(kept), content_sha256=digest)


def _carry_choices(source: Path, package: Package, folder: Path, slimmed: Package) -> list[str]:
    """Bring along what was chosen on each kind of machine, as far as it is about what is kept."""
    carried = []
    for key in choices.machines(source):
        chosen = choices.chosen_on(source, package, key)
        left = chosen and choices.of_variants(chosen, slimmed)
        if not left:
            continue
        stored = choices.store(folder, left)
        if stored is None or not stored.is_relative_to(folder):
            raise StorageError(path=str(folder), problem="it takes nothing of what was chosen")
        carried.append(left.machine)
    return carried


def _notes(package: Package, slimmed: Package, source: Path) -> list[str]:
    notes = [
        f"{variant.name} is made for {kind}, and nothing in it is right on any machine: "
        "--with-portable keeps what is"
        for graph in slimmed.graphs
        if (kind := _bound_to(variant := _first(slimmed, graph)))
    ]
    gone = [g.name for g in package.graphs if g.name not in {kept.name for kept in slimmed.graphs}]
    if gone:
        notes.append(f"no variant of {', '.join(gone)} is kept, and so nothing of it")
    if any(graph.reference is None for graph in slimmed.graphs):
        notes.append("it has no reference case, so that a device cannot check itself")
    if choices.machines(source) and not any(
        choices.chosen_on(source, package, key) for key in choices.machines(source)
    ):
        notes.append("what was chosen for it no longer holds, and stays behind")
    return notes


def _first(package: Package, graph: Graph) -> Variant:
    return next(variant for variant in package.variants if variant.graph == graph.name)


def _bound_to(variant: Variant) -> str:
    target = variant.target
    if target.isa is not None:
        return "one kind of processor"
    return "" if target.provider == Target().provider else f"the provider {target.provider}"
