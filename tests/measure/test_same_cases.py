"""Which cases two models are compared on."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit.errors import BadValue
from edgekit.measure.same_cases import cases_for, own_metric
from edgekit.measure.sides import named, variant_side
from edgekit.measure.ways import How
from edgekit.package import commit, reading


def save(path: Path, rows: int) -> str:
    x = np.random.default_rng(rows).standard_normal((rows, 4)).astype(np.float32)
    np.savez(path, x=x, label=np.zeros(rows, np.int64))
    return str(path)


def test_a_packages_cases_come_first_whichever_side_it_is_on(tiny_package: Path) -> None:
    package = variant_side(named(str(tiny_package)), How())
    plain = variant_side(named(f"{tiny_package}/fp32.onnx"), How())
    for sides in ((package, plain), (plain, package), (package, package)):
        found = cases_for(*sides)
        assert (found.name, found.split, found.cases, found.synthetic) == (
            "cases",
            "test",
            20,
            False,
        )
        assert own_metric(*sides) == "top1"
    made_up = cases_for(plain, plain)
    assert (made_up.synthetic, made_up.split) == (True, "test")
    assert own_metric(plain, plain) == "closeness"


def test_reference_cases_come_before_made_up_ones(tiny_package: Path) -> None:
    packed = reading.read(tiny_package)
    graph = msgspec.structs.replace(packed.graphs[0], evaluation=None)
    commit.commit(tiny_package, msgspec.structs.replace(packed, graphs=(graph,)), {})
    side = variant_side(named(str(tiny_package)), How())
    assert cases_for(side, side).split == "reference"


def test_given_data_come_before_all(tiny_package: Path, tmp_path: Path) -> None:
    side = variant_side(named(str(tiny_package)), How())
    found = cases_for(side, side, eval_data=save(tmp_path / "mine.npz", 30))
    assert (found.cases, found.split) == (30, "test")


def test_what_was_calibrated_with_is_refused(tiny_package: Path, tmp_path: Path) -> None:
    side = variant_side(named(str(tiny_package)), How())
    both, other = save(tmp_path / "both.npz", 3), save(tmp_path / "other.npz", 5)
    assert cases_for(side, side, eval_data=both, calib_data=other).cases == 3
    with pytest.raises(BadValue, match="the calibration data cannot be partly the evaluation data"):
        cases_for(side, side, eval_data=both, calib_data=both)


def test_rows_that_a_variant_was_calibrated_with_are_refused(
    tiny_package: Path, tmp_path: Path
) -> None:
    from edgekit.data import open_data, rows_of
    from edgekit.package.values import Calibration, Recipe

    side = variant_side(named(str(tiny_package)), How())
    used = save(tmp_path / "used.npz", 3)
    rows = rows_of(open_data(used, side.signature, split="train"), side.signature)
    packed = reading.read(tiny_package)
    recipe = Recipe("int8-static", calibration=Calibration("mine", 3, rows=rows))
    (first,) = packed.variants
    made = msgspec.structs.replace(first, name="int8", parent="fp32", recipe=recipe)
    commit.commit(tiny_package, msgspec.structs.replace(packed, variants=(first, made)), {})
    again = variant_side(named(str(tiny_package)), How())
    with pytest.raises(BadValue, match="int8 was calibrated with"):
        cases_for(again, again, eval_data=used)
