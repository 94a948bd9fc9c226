from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.data import (
    package_data,
    refuse_calibrated,
    refuse_overlap,
    refuse_rows,
    row_hashes,
    rows_of,
)
from edgekit.errors import BadValue
from edgekit.package import reading
from edgekit.package.values import Calibration, Recipe
from edgekit.tensors import Case, Dataset, Dim, Signature, TensorSpec

TAKES = Signature((TensorSpec("x", "float32", (Dim("batch", 1, 64), 2)),), ())


def rows(*values: float) -> dict[str, Any]:
    return {"x": np.array([[value, -value] for value in values], np.float32)}


def dataset(feeds: Sequence[dict[str, Any]], *, synthetic: bool = False) -> Dataset:
    cases = [Case(feed) for feed in feeds]
    return Dataset("digits", "test", "", len(cases), lambda: iter(cases), synthetic)


@given(
    calibration=st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=8), max_size=5),
    evaluation=st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=8), max_size=5),
)
def test_an_overlap_is_found_in_whatever_batches_it_lies(
    calibration: list[list[int]], evaluation: list[list[int]]
) -> None:
    known = {value for batch in calibration for value in batch}
    shared = [[value in known for value in batch] for batch in evaluation]
    ours, theirs = (dataset([rows(*b) for b in side]) for side in (calibration, evaluation))
    assert len(rows_of(ours, TAKES)) == len(known)
    if not any(map(any, shared)):
        refuse_overlap(ours, theirs, signature=TAKES)
        return
    total = sum(map(len, evaluation))
    first = next(index for index, batch in enumerate(shared) if any(batch))
    with pytest.raises(BadValue) as found:
        refuse_overlap(ours, theirs, signature=TAKES)
    said = (
        f"({sum(map(sum, shared))} of the {total} rows of digits are in both, the first in case "
        f"{first})"
    )
    assert said in str(found.value)


def test_an_overlap_says_what_it_is_and_what_is_expected() -> None:
    with pytest.raises(BadValue) as found:
        refuse_overlap(dataset([rows(1)]), dataset([rows(2), rows(3, 1)]), signature=TAKES)
    assert str(found.value).startswith(
        "the calibration data cannot be partly the evaluation data (1 of the 3 rows of digits are "
        "in both, the first in case 1): expected rows on which no accuracy is measured"
    )


@pytest.mark.parametrize("which", [0, 1])
def test_made_up_data_are_no_overlap(which: int) -> None:
    sides = [dataset([rows(1)], synthetic=which == side) for side in range(2)]
    refuse_overlap(sides[0], sides[1], signature=TAKES)
    real = [dataset([rows(1)]) for _ in sides]
    with pytest.raises(BadValue, match="1 of the 1 rows"):
        refuse_overlap(real[0], real[1], signature=TAKES)


def test_rows_that_a_variant_names_are_refused() -> None:
    named = row_hashes(rows(5, 6), TAKES)
    refuse_rows(named, dataset([rows(7)]), signature=TAKES, of="the variant int8")
    refuse_rows(named, dataset([rows(5)], synthetic=True), signature=TAKES, of="the variant int8")
    refuse_rows((), dataset([rows(5)]), signature=TAKES, of="the variant int8")
    with pytest.raises(BadValue, match="what the variant int8 was calibrated with cannot be"):
        refuse_rows(named, dataset([rows(6)]), signature=TAKES, of="the variant int8")


def test_all_that_a_package_was_calibrated_with_is_refused(tiny_package: Path) -> None:
    package = reading.read(tiny_package)
    graph = package.graphs[0]
    held_out = package_data(tiny_package, package, graph, split="test")
    reference = package_data(tiny_package, package, graph, split="reference")
    assert held_out is not None
    assert reference is not None
    refuse_calibrated(tiny_package, package, graph, evaluation=held_out)

    # The evaluation cases, standing in as what was calibrated with.
    calibrated = msgspec.structs.replace(graph, calibration=graph.evaluation)
    with pytest.raises(BadValue, match="20 of the 20 rows of cases"):
        refuse_calibrated(tiny_package, package, calibrated, evaluation=held_out)
    refuse_calibrated(tiny_package, package, calibrated, evaluation=reference)

    def with_rows(*, synthetic: bool) -> Any:
        seen = rows_of(held_out, graph.signature)[:3]
        recipe = Recipe("int8-static", calibration=Calibration("c", 3, "minmax", seen, synthetic))
        variant = msgspec.structs.replace(package.variants[0], name="int8", recipe=recipe)
        return msgspec.structs.replace(package, variants=(*package.variants, variant))

    with pytest.raises(BadValue, match=r"what the variant int8 was calibrated with .*3 of the 20"):
        refuse_calibrated(tiny_package, with_rows(synthetic=False), graph, evaluation=held_out)
    refuse_calibrated(tiny_package, with_rows(synthetic=True), graph, evaluation=held_out)
