"""Which values a variant is made with, on which it is judged, and that the two never overlap."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import BadValue, InputError
from edgekit.measure.adopt import adopt
from edgekit.package import reading
from edgekit.quantize import quantize

pytest.importorskip("onnx", reason="graphs are built with onnx")

Save = Callable[..., Path]


@pytest.fixture
def plain(save: Save, tmp_path: Path) -> Path:
    """A package with neither calibration nor held-out cases."""
    weights = {"w": np.random.default_rng(0).normal(size=(32, 32)).astype(np.float32)}
    model = save("(float[n,32] x) => (float[n,32] y) { y = MatMul(x, w) }", weights=weights)
    path = tmp_path / "plain.edgekit"
    adopt(model, path)
    return path


def kept(tmp_path: Path, name: str, rows: int, *, seed: int) -> str:
    path = tmp_path / name
    np.savez(path, x=np.random.default_rng(seed).random((rows, 32), np.float32))
    return str(path)


def test_static_ranges_without_values_are_refused_with_the_way_to_give_them(plain: Path) -> None:
    with pytest.raises(BadValue, match="--calib-data") as caught:
        quantize(plain, scheme="int8-static")
    assert "--synthetic" in str(caught.value)
    assert [v.name for v in reading.read(plain).variants] == ["fp32"]


def test_made_up_values_are_marked_in_the_variant_and_in_a_warning(plain: Path) -> None:
    done = quantize(plain, scheme="int8-static", synthetic=True)
    assert done.variant.recipe is not None
    assert done.variant.recipe.calibration is not None
    assert done.variant.recipe.calibration.synthetic
    assert any("made-up" in warning for warning in done.warnings)


def test_given_values_are_what_is_measured(plain: Path, tmp_path: Path) -> None:
    source = kept(tmp_path, "calib.npz", 12, seed=1)
    done = quantize(plain, scheme="int8-static", calib_data=source)
    assert done.variant.recipe is not None
    calibration = done.variant.recipe.calibration
    assert calibration is not None
    assert (calibration.cases, calibration.synthetic) == (12, False)
    assert len(set(calibration.rows)) == 12
    assert not any("made-up" in warning for warning in done.warnings)


def test_given_cases_are_what_it_is_judged_on(plain: Path, tmp_path: Path) -> None:
    source = kept(tmp_path, "calib.npz", 12, seed=1)
    judged = kept(tmp_path, "eval.npz", 40, seed=2)
    done = quantize(plain, scheme="int8-static", calib_data=source, eval_data=judged)
    assert done.quality is not None
    assert done.quality.cases == 40
    assert done.variant.kept is not None
    assert done.variant.kept.cases == 40


def test_nothing_is_judged_on_what_it_was_made_with(plain: Path, tmp_path: Path) -> None:
    source = kept(tmp_path, "calib.npz", 12, seed=1)
    with pytest.raises(BadValue, match="calibration"):
        quantize(plain, scheme="int8-static", calib_data=source, eval_data=source)


@pytest.mark.parametrize("scheme", ["int8-dynamic", "int8-weight", "int4-weight"])
def test_schemes_that_look_at_no_values_need_none(plain: Path, scheme: str) -> None:
    assert quantize(plain, scheme=scheme).nodes == 1  # type: ignore[arg-type]


def test_values_that_do_not_fit_are_refused_before_anything_is_made(
    plain: Path, tmp_path: Path
) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, x=np.zeros((4, 31), np.float32))
    with pytest.raises((BadValue, InputError), match="31"):
        quantize(plain, scheme="int8-static", calib_data=str(path))
