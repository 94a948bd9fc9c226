"""Constants, sizes and the targets of Reshapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

WEIGHTS = {
    "W": np.arange(12, dtype=np.float32).reshape(3, 4),
    "i0": np.array([0], np.int64),
    "i1": np.array([1], np.int64),
    "i2": np.array([2], np.int64),
    "i3": np.array([3], np.int64),
    "i8": np.array([8], np.int64),
    "less": np.array([-1], np.int64),
}
FEED = {"x": np.arange(48, dtype=np.float32).reshape(4, 3, 4)}
HEAD = "(float[n,3,4] x) => "


def test_constants_are_computed(save: Any, applied: Any) -> None:
    path = save(
        HEAD + "(float[n,3,3] y) { t = Transpose(W) u = Relu(t) y = MatMul(x, u) }",
        weights=WEIGHTS,
    )
    assert applied("constants", path, FEED) == ["MatMul"]


def test_a_target_with_one_size_that_differs_is_said(save: Any, applied: Any) -> None:
    body = (
        "{ s = Shape(x) a = Slice(s, i0, i1) b = Slice(s, i1, i2) c = Slice(s, i2, i3) "
        "d = Mul(b, c) t = Concat<axis=0>(a, d) y = Reshape(x, t) }"
    )
    path = save(HEAD + "(float[n,12] y) " + body, weights=WEIGHTS)
    assert applied("constants", path, FEED) == ["Reshape"]


def test_a_size_that_stays_leaves_another_to_work_out(save: Any, applied: Any) -> None:
    text = (
        "(float[n,m,4] x) => (float[n,m,4] y) { s = Shape(x) a = Slice(s, i0, i1) "
        "b = Slice(s, i1, i2) t = Concat<axis=0>(a, b, i2, i2) u = Reshape(x, t) "
        "v = Transpose<perm=[0,1,3,2]>(u) w = Concat<axis=0>(a, b, less) y = Reshape(v, w) }"
    )
    assert applied("constants", save(text, weights=WEIGHTS), FEED) == [
        *("Reshape", "Transpose", "Reshape")
    ]


@pytest.mark.parametrize(
    "text",
    [
        # two sizes differ, neither where it was
        "(float[n,m,4] x) => (float[m,n,4] y) { s = Shape(x) a = Slice(s, i0, i1) "
        "b = Slice(s, i1, i2) t = Concat<axis=0>(b, a, less) y = Reshape(x, t) }",
        # half of a size is 0 for small ones, and no constant
        "(float[n,3,4] x) => (float[k] y) { s = Shape(x) a = Slice(s, i0, i1) h = Div(a, i8) "
        "y = Cast<to=1>(h) }",
        "(float[n,3,4] x) => (float[n,3,4] y) { y = Relu(x) }",
    ],
)
def test_what_depends_on_the_inputs_stays(text: str, save: Any, applied: Any) -> None:
    assert applied("constants", save(text, weights=WEIGHTS), FEED) is None


def test_integers_of_a_quantized_model_stay_between_their_nodes(save: Any, applied: Any) -> None:
    weights = {"q": np.ones((4, 3), np.int8), "s": np.float32(0.5), "z": np.int8(0)}
    text = HEAD + "(float[n,3,3] y) { w = DequantizeLinear(q, s, z) y = MatMul(x, w) }"
    assert applied("constants", save(text, weights=weights), FEED) is None


def test_nothing_is_made_much_of(save: Any, applied: Any) -> None:
    weights = {"v": np.ones(1, np.float32), "big": np.array([1 << 20, 4], np.int64)}
    text = HEAD + "(float y) { e = Expand(v, big) t = ReduceSum(e) u = ReduceSum(x) y = Mul(t, u) }"
    left = applied("constants", save(text, weights=weights), FEED)
    assert left is None
