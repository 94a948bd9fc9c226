"""BatchNormalization in front of, behind and further behind weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

_RANDOM = np.random.default_rng(0)


def _normal(*shape: int) -> Any:
    return _RANDOM.standard_normal(shape).astype(np.float32)


WEIGHTS = {
    "W": _normal(4, 4, 3, 3),
    "c": _normal(4),
    "s": _normal(4),
    "b": _normal(4),
    "m": _normal(4),
    "v": np.abs(_normal(4)) + 0.5,
    "M": _normal(5, 4),
    "k": _normal(4),
    "zero": np.zeros(4, np.float32),
}
IMAGE = {"x": _normal(2, 4, 8, 8)}
HEAD = "(float[n,4,8,8] x) => (float[n,4,i,j] y) "
NORM = "BatchNormalization"


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (f"{{ t = Conv(x, W, c) y = {NORM}(t, s, b, m, v) }}", ["Conv", "Identity"]),
        (
            f"{{ t = Conv(x, W) u = AveragePool<kernel_shape=[2,2]>(t) r = {NORM}(u, s, b, m, v) "
            "y = Relu(r) }",
            ["Conv", "AveragePool", "Relu"],
        ),
        (
            f"{{ t = Conv(x, W) u = GlobalAveragePool(t) r = {NORM}(u, s, b, m, v) y = Relu(r) }}",
            ["Conv", "GlobalAveragePool", "Relu"],
        ),
        (f"{{ t = {NORM}(x, s, b, m, v) y = Conv(t, W, c) }}", ["Conv"]),
        (f"{{ t = {NORM}<epsilon=0.1>(x, s, b, m, v) y = Conv(t, W) }}", ["Conv"]),
        # Nothing is added, so that padding stays 0.
        (f"{{ t = {NORM}(x, s, zero, zero, v) y = Conv<pads=[1,1,1,1]>(t, W) }}", ["Conv"]),
    ],
)
def test_it_goes_into_the_weights(body: str, left: list[str], save: Any, applied: Any) -> None:
    assert applied("batch-norm", save(HEAD + body, weights=WEIGHTS), IMAGE, near=1e-4) == left


@pytest.mark.parametrize("bias", [True, False])
def test_it_goes_into_a_product_past_a_transpose(bias: bool, save: Any, applied: Any) -> None:
    product = "{ p = MatMul(x, M) q = Add(p, k) " if bias else "{ q = MatMul(x, M) "
    body = f"t = Transpose<perm=[0,2,1]>(q) u = {NORM}(t, s, b, m, v) y = Relu(u) }}"
    path = save(f"(float[n,6,5] x) => (float[n,4,6] y) {product}{body}", weights=WEIGHTS)
    left = applied("batch-norm", path, {"x": _normal(2, 6, 5)}, near=1e-4)
    assert left == ["MatMul", "Add", "Transpose", "Relu"]


@pytest.mark.parametrize(
    "body",
    [
        f"{{ t = {NORM}(x, s, b, m, v) y = Conv<pads=[1,1,1,1]>(t, W, c) }}",
        f'{{ t = {NORM}(x, s, b, m, v) y = Conv<auto_pad="SAME_UPPER">(t, W, c) }}',
        f"{{ t = {NORM}(x, s, b, m, v) r = Relu(t) y = Conv(r, W, c) }}",
        f"{{ t = Conv(x, W) r = Relu(t) y = {NORM}(r, s, b, m, v) }}",
        f"{{ t = Conv(x, W) u = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(t) "
        f"y = {NORM}(u, s, b, m, v) }}",
        f"{{ t = Conv(x, W) u = MaxPool<kernel_shape=[2,2]>(t) y = {NORM}(u, s, b, m, v) }}",
        f"{{ t = Conv(x, W) u = {NORM}(t, s, b, m, v) y = Add(t, u) }}",
        f"{{ q = Abs(s) t = Conv(x, W) y = {NORM}(t, q, b, m, v) }}",
    ],
)
def test_what_is_another_thing_stays(body: str, save: Any, applied: Any) -> None:
    assert applied("batch-norm", save(HEAD + body, weights=WEIGHTS), IMAGE) is None


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(groups=st.sampled_from([1, 2, 4]), each=st.integers(1, 3), seed=st.integers(0, 99))
def test_grouped_convolutions_read_their_own_channels(
    groups: int, each: int, seed: int, save: Any, applied: Any
) -> None:
    random = np.random.default_rng(seed)
    weight = random.standard_normal((groups * each, 4 // groups, 2, 2)).astype(np.float32)
    body = f"{{ t = {NORM}(x, s, b, m, v) y = Conv<group={groups}>(t, G) }}"
    path = save(
        f"(float[n,4,8,8] x) => (float[n,{groups * each},7,7] y) {body}",
        weights=WEIGHTS | {"G": weight},
    )
    assert applied("batch-norm", path, IMAGE, near=1e-4) == ["Conv"]
