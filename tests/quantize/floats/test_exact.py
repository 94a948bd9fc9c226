"""Angles and whole numbers, which fp16 would make others of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

from edgekit.quantize import fp16, scheme  # noqa: E402
from edgekit.quantize.elements import element_types, read_typed  # noqa: E402
from edgekit.quantize.floats.exact import kept_exact  # noqa: E402
from edgekit.quantize.floats.ranges import measure_ranges  # noqa: E402

Kept = Callable[..., dict[str, str]]


@pytest.fixture
def kept(save: Callable[..., Path], tmp_path: Path) -> Kept:
    """Measure a graph on one feed, and say which of its nodes must stay exact."""

    def find(text: str, feed: dict[str, Any], **given: Any) -> dict[str, str]:
        model = save(text, **given)
        ranges = measure_ranges(model, [feed], scratch=tmp_path, wall_s=60)
        typed = read_typed(model)
        return kept_exact(typed, element_types(typed), ranges)

    return find


ONE = "(float[n,2] x) => (float[n,2] y) "


def row(*numbers: float) -> dict[str, Any]:
    return {"x": np.array([numbers], np.float32)}


def test_large_angles_and_what_makes_them_stay(kept: Kept) -> None:
    text = ONE + "{ h = Mul(x, w) k = Add(h, w) y = Cos(k) z = Sin(x) }"
    found = kept(text, row(100, 3), weights={"w": np.float32(2)})
    assert found.keys() == {"Mul:h", "Add:k", "Cos:y", "Sin:z"}
    assert found["Mul:h"] == "it makes the angles of Cos:y, which reach 202"


def test_small_angles_need_nothing(kept: Kept) -> None:
    assert kept(ONE + "{ y = Cos(x) }", row(3, -3)) == {}


def test_a_place_in_a_table_past_2048_is_counted_in_float32(kept: Kept) -> None:
    text = "(float[n] x) => (float[n,2] y) { k = Add(x, one) i = Cast<to=7>(k) y = Gather(w, i) }"
    weights = {"w": np.ones((4000, 2), np.float32), "one": np.float32(1)}
    feed = {"x": np.array([3000, 1], np.float32)}
    assert kept(text, feed, weights=weights) == {
        "Add:k": "it makes the whole numbers of Cast:i, up to 3001",
        "Cast:i": "its whole numbers reach 3001, and fp16 counts to 2048",
    }
    assert kept(text, {"x": np.array([2047], np.float32)}, weights=weights) == {}


RESIZED = (
    "(float[n,4] x) => (float[c,d] y) { s = Shape(x) f = Cast<to=1>(s) g = Mul(f, two) "
    't = Cast<to=7>(g) h = Relu(x) y = Resize<mode="nearest">(h, , , t) }'
)


def test_a_size_is_computed_in_float32_whatever_it_was_in_the_cases(kept: Kept) -> None:
    found = kept(RESIZED, row(1, 2, 3, 4), weights={"two": np.array([2, 2], np.float32)})
    assert found.keys() == {"Cast:f", "Mul:g", "Cast:t"}


def test_what_is_made_of_a_size_is_as_large_as_before(
    save: Callable[..., Path], run: Callable[..., Any], tmp_path: Path
) -> None:
    model = save(RESIZED, weights={"two": np.array([2, 2], np.float32)})
    half = tmp_path / "half.onnx"
    work = scheme.Work(
        model=model, scratch=tmp_path, feeds=lambda: [row(1, 2, 3, 4)], cases=1, wall_s=60
    )
    assert fp16.SCHEME.prepare(work)(half, ()).nodes
    large = {"x": np.ones((3001, 4), np.float32)}
    assert run(half, large)["y"].shape == run(model, large)["y"].shape == (6002, 8)


def test_positions_are_compared_in_float32(kept: Kept) -> None:
    text = (
        "(float[n,2] x, int64[n,1] i) => (float[n,2] y) "
        "{ f = Cast<to=1>(i) m = Less(f, end) h = Relu(x) y = Where(m, h, zero) }"
    )
    weights = {"end": np.float32(9), "zero": np.zeros(1, np.float32)}
    found = kept(text, {**row(1, 2), "i": np.array([[3]])}, weights=weights)
    assert found.keys() == {"Cast:f", "Less:m"}


@pytest.mark.parametrize("kind", ["int64", "uint8"])
def test_numbers_that_become_no_size_need_nothing(kind: str, kept: Kept) -> None:
    text = f"({kind}[n,2] x) => (float[n,2] y) {{ f = Cast<to=1>(x) y = Mul(f, w) }}"
    assert kept(text, {"x": np.ones((1, 2), kind)}, weights={"w": np.float32(2)}) == {}


def test_pixels_are_no_positions(kept: Kept) -> None:
    text = "(uint8[n,2] x) => (bool[n,2] y) { f = Cast<to=1>(x) h = Mul(f, w) y = Less(h, w) }"
    assert kept(text, {"x": np.ones((1, 2), np.uint8)}, weights={"w": np.float32(2)}) == {}
