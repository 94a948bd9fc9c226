"""Proof that nothing is measured on what was calibrated with: no row is on both sides."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from edgekit.data.packaged import package_data
from edgekit.data.rows import row_hashes
from edgekit.errors import BadValue
from edgekit.package.values import Graph, Package
from edgekit.tensors import Dataset, Signature

_CASES = "the calibration data"
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
    if not calibration.synthetic:
        _refuse({_CASES: rows_of(calibration, signature)}, evaluation, signature=signature)


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
    _refuse({_what(of): rows}, evaluation, signature=signature)


def refuse_calibrated(path: Path, package: Package, graph: Graph, *, evaluation: Dataset) -> None:
    """Refuse evaluation data that overlap with anything that a package's graph was calibrated with:
    its calibration cases, and the rows that its variants name.

    Raises:
        BadValue: with how many rows are on both sides, and the first case that has one.
        CorruptPackage, HashMismatch: the package's cases can't be read.
    """
    known: dict[str, Collection[str]] = {}
    calibration = package_data(path, package, graph, split="train")
    if calibration is not None and not calibration.synthetic:
        known[_CASES] = rows_of(calibration, graph.signature)
    for variant in package.variants:
        made = variant.recipe.calibration if variant.recipe else None
        if variant.graph == graph.name and made is not None and not made.synthetic:
            known[_what(f"the variant {variant.name}")] = made.rows
    _refuse(known, evaluation, signature=graph.signature)


def _what(of: str) -> str:
    return f"what {of} was calibrated with"


def _refuse(
    known: Mapping[str, Collection[str]], evaluation: Dataset, *, signature: Signature
) -> None:
    """Go through the evaluation data once, and refuse them for the first of the known sets."""
    sets = {what: frozenset(rows) for what, rows in known.items() if rows}
    if not sets or evaluation.synthetic:
        return
    shared, first, total = dict.fromkeys(sets, 0), dict.fromkeys(sets, 0), 0
    for index, case in enumerate(evaluation.open()):
        hashes = row_hashes(case.feed, signature)
        total += len(hashes)
        for what, rows in sets.items():
            found = sum(row in rows for row in hashes)
            if found and not shared[what]:
                first[what] = index
            shared[what] += found
    for what, count in shared.items():
        if count:
            raise BadValue(
                what=what,
                asked=f"partly the evaluation data ({count:,} of the {total:,} rows of "
                f"{evaluation.name} are in both, the first in case {first[what]})",
                expected=_EXPECTED,
            )
