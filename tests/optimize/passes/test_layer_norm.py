"""Layer normalization, written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

_RANDOM = np.random.default_rng(0)
WEIGHTS = {
    "ch": np.array([1], np.int64),
    "last": np.array([-1], np.int64),
    "two": np.float32(2),
    "three": np.float32(3),
    "eps": np.float32(1e-5),
    "half": np.float32(0.5),
    "s1": _RANDOM.standard_normal((5, 1, 1)).astype(np.float32),
    "b1": _RANDOM.standard_normal((1, 5, 1, 1)).astype(np.float32),
    "s3": _RANDOM.standard_normal(7).astype(np.float32),
    "b3": _RANDOM.standard_normal(7).astype(np.float32),
}
FEED = {"x": _RANDOM.standard_normal((2, 5, 6, 7)).astype(np.float32)}
HEAD = "(float[n,5,6,7] x) => (float[n,5,6,7] y) "


def _written(axis: str = "ch", square: str = "Pow(d, two)", end: str = "") -> str:
    return (
        f"{{ m = ReduceMean(x, {axis}) d = Sub(x, m) q = {square} v = ReduceMean(q, {axis}) "
        f"e = Add(v, eps) r = Sqrt(e) {end or 'y = Div(d, r)'} }}"
    )


MOVED = ["Transpose", "LayerNormalization", "Transpose"]


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (_written(), MOVED),
        (_written(square="Mul(d, d)"), MOVED),
        (_written(end="z = Div(d, r) w = Mul(s1, z) y = Add(w, b1)"), MOVED),
        (_written(end="z = Div(d, r) y = Mul(z, s1)"), MOVED),
        (_written(end="i = Reciprocal(r) z = Mul(d, i) y = Add(z, b1)"), MOVED),
        (_written("last", end="z = Div(d, r) w = Mul(z, s3) y = Add(w, b3)"), [MOVED[1]]),
        # A scale along another axis is not the norm's own.
        (_written(end="z = Div(d, r) y = Mul(z, s3)"), [*MOVED, "Mul"]),
    ],
)
def test_it_becomes_one_node(body: str, left: list[str], save: Any, applied: Any) -> None:
    assert applied("layer-norm", save(HEAD + body, weights=WEIGHTS), FEED) == left


@pytest.mark.parametrize(
    "body",
    [
        _written(square="Pow(d, three)"),
        _written(end="z = Div(d, r) y = Add(z, d)"),  # what is centred goes on
        _written(end="y = Div(x, r)"),
        _written(end="z = Div(d, r) w = Add(z, v) y = Mul(w, s1)"),
        "{ m = ReduceMean(x, ch) d = Sub(x, m) q = Pow(d, two) v = ReduceMean(q, last) "
        "e = Add(v, eps) r = Sqrt(e) y = Div(d, r) }",
        "{ m = ReduceMean(x, ch) d = Sub(x, m) q = Pow(d, two) v = ReduceMean(q, ch) "
        "e = Add(v, half) r = Sqrt(e) y = Div(d, r) }",  # too much for an epsilon
    ],
)
def test_what_is_another_thing_stays(body: str, save: Any, applied: Any) -> None:
    assert applied("layer-norm", save(HEAD + body, weights=WEIGHTS), FEED) is None


def test_two_axes_are_no_layer_normalization(save: Any, applied: Any) -> None:
    weights = WEIGHTS | {"ch": np.array([2, 3], np.int64)}
    assert applied("layer-norm", save(HEAD + _written(), weights=weights), FEED) is None


def test_a_middle_value_that_is_an_output_stays(save: Any, applied: Any) -> None:
    text = "(float[n,5,6,7] x) => (float[n,5,6,7] y, float[n,1,6,7] v) " + _written()
    assert applied("layer-norm", save(text, weights=WEIGHTS), FEED) is None
