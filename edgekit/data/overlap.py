"""Proof that nothing is measured on what was calibrated with: no row is on both sides."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from edgekit.data.packaged import package_data
from edgekit.data.rows import row_hashes
from edgekit.errors import BadValue
from edgekit.package.values import Graph, Package
from edgekit.tensors import Dataset, Signature

_EXPECTED = (
    "rows on which no accuracy is measured: an answer to what a model was calibrated with says "
    "nothing about others"
)


def rows_of(dataset: Dataset, signature: Signature) -> tuple[str, ...]:
    """List the hash of every row of a dataset, each once, in order of first use.

    Raises:
        What reading the dataset raises.
    """
    seen: dict[str, None] = {}
    for case in dataset.open():
        seen.update(dict.fromkeys(row_hashes(case.feed, signature)))
    return tuple(seen)


def refuse_overlap(calibration: Dataset, evaluation: Dataset, *, signature: Signature) -> None:
    """Refuse evaluation data that hold a row of the calibration data, in whatever batch it lies.

    Made-up data are left alone: no accuracy is measured on them.

    Raises:
        BadValue: with how many rows are on both sides, and the first case that has one.
    """
    if calibration.synthetic or evaluation.synthetic:
        return
    _refuse(
        frozenset(rows_of(calibration, signature)),
        evaluation,
        signature=signature,
        what="the calibration data",
    )


def refuse_rows(
    rows: Collection[str], evaluation: Dataset, *, signature: Signature, of: str
) -> None:
    """Refuse evaluation data that hold a row which something was calibrated with.

    Args:
        rows: the hashes, as `Calibration.rows` keeps them.
        evaluation: what is to be measured on.
        signature: what the model takes.
        of: what was calibrated with them: "the variant int8".

    Raises:
        BadValue: with how many rows are on both sides, and the first case that has one.
    """
    if rows and not evaluation.synthetic:
        what = f"what {of} was calibrated with"
        _refuse(frozenset(rows), evaluation, signature=signature, what=what)


def refuse_calibrated(path: Path, package: Package, graph: Graph, *, evaluation: Dataset) -> None:
    """Refuse evaluation data that overlap with anything that a package's graph was calibrated with:
    its calibration cases, and the rows that its variants name.

    Raises:
        BadValue: with how many rows are on both sides, and the first case that has one.
        CorruptPackage, HashMismatch: the package's cases can't be read.
    """
    calibration = package_data(path, package, graph, split="train")
    if calibration is not None:
        refuse_overlap(calibration, evaluation, signature=graph.signature)
    for variant in package.variants:
        made = variant.recipe.calibration if variant.recipe else None
        if variant.graph == graph.name and made is not None and not made.synthetic:
            of = f"the variant {variant.name}"
            refuse_rows(made.rows, evaluation, signature=graph.signature, of=of)


def _refuse(known: frozenset[str], evaluation: Dataset, *, signature: Signature, what: str) -> None:
    shared, total, first = 0, 0, 0
    for index, case in enumerate(evaluation.open()):
        hashes = row_hashes(case.feed, signature)
        found = sum(row in known for row in hashes)
        if found and not shared:
            first = index
        shared, total = shared + found, total + len(hashes)
    if shared:
        raise BadValue(
            what=what,
            asked=f"partly the evaluation data ({shared:,} of the {total:,} rows of "
            f"{evaluation.name} are in both, the first in case {first})",
            expected=_EXPECTED,
        )
