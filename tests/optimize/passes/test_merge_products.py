"""Several products of one value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

_RANDOM = np.random.default_rng(0)
WEIGHTS = {
    "A": _RANDOM.standard_normal((4, 3)).astype(np.float32),
    "B": _RANDOM.standard_normal((4, 5)).astype(np.float32),
    "a": _RANDOM.standard_normal(3).astype(np.float32),
    "b": _RANDOM.standard_normal(5).astype(np.float32),
}
FEED = {"x": _RANDOM.standard_normal((2, 6, 4)).astype(np.float32)}
HEAD = "(float[n,m,4] x) => (float[n,m,3] y, float[n,m,5] z) "


def test_products_with_biases_become_one(save: Any, applied: Any) -> None:
    body = "{ p = MatMul(x, A) y = Add(p, a) q = MatMul(x, B) z = Add(b, q) }"
    path = save(HEAD + body, weights=WEIGHTS)
    assert applied("merge-products", path, FEED) == ["MatMul", "Add", "Split"]


def test_products_without_biases_become_one(save: Any, applied: Any) -> None:
    path = save(HEAD + "{ y = MatMul(x, A) z = MatMul(x, B) }", weights=WEIGHTS)
    assert applied("merge-products", path, FEED) == ["MatMul", "Split"]


@pytest.mark.parametrize(
    "body",
    [
        "{ p = MatMul(x, A) y = Add(p, a) z = MatMul(x, B) }",  # one bias is missing
        "{ y = MatMul(x, A) r = Relu(x) z = MatMul(r, B) }",  # another value
        "{ C = Relu(B) y = MatMul(x, A) z = MatMul(x, C) }",  # computed weights
    ],
)
def test_what_is_another_thing_stays(body: str, save: Any, applied: Any) -> None:
    assert applied("merge-products", save(HEAD + body, weights=WEIGHTS), FEED) is None


def test_an_old_split_has_no_sizes_as_input(save: Any, applied: Any) -> None:
    path = save(HEAD + "{ y = MatMul(x, A) z = MatMul(x, B) }", weights=WEIGHTS, opset=12)
    assert applied("merge-products", path, FEED) is None
