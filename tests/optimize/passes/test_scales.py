"""Scales and shifts of channels in the weights before them, and those that stay."""

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
    "M": _normal(5, 4),
    "T": _normal(4, 5),
    "k": _normal(4),
    "g": _normal(4),
    "h": _normal(4),
    "row": _normal(1, 1, 4),
    "rows": _normal(3, 4),
    "planes": _normal(1, 4, 1, 1),
    "shifts": _normal(4, 1, 1),
    "columns": _normal(8),
    "wide": _normal(1, 1, 1, 4),
    "half": np.array(0.5, np.float32),
    "one": np.array([3.0], np.float32),
    "zero": np.array([1.0, 0.0, 2.0, 3.0], np.float32),
}
IMAGE = {"x": _normal(2, 4, 8, 8)}
ROWS = {"x": _normal(2, 3, 5)}
IMAGES = "(float[n,4,8,8] x) => (float[n,4,i,j] y) "
TOKENS = "(float[n,3,5] x) => (float[n,3,4] y) "


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("t = Conv(x, W, c) u = Mul(t, planes) y = Relu(u)", ["Conv", "Relu"]),
        ("t = Conv(x, W) u = Mul(planes, t) y = Relu(u)", ["Conv", "Relu"]),
        ("t = Conv(x, W, c) u = Div(t, half) y = Relu(u)", ["Conv", "Relu"]),
        ("t = Conv(x, W) u = Div(t, planes) v = Add(u, shifts) y = Relu(v)", ["Conv", "Relu"]),
        ("t = Conv(x, W) u = Sub(t, shifts) y = Relu(u)", ["Conv", "Relu"]),
        ("t = Conv(x, W, c) u = Sub(shifts, t) y = Relu(u)", ["Conv", "Relu"]),
        (
            "t = Conv(x, W) u = AveragePool<kernel_shape=[2,2]>(t) v = Mul(u, planes) y = Relu(v)",
            ["Conv", "AveragePool", "Relu"],
        ),
        # What comes out of the model keeps its name.
        ("t = Conv(x, W, c) y = Mul(t, planes)", ["Conv", "Identity"]),
    ],
)
def test_it_goes_into_a_convolution(body: str, left: list[str], save: Any, applied: Any) -> None:
    path = save(f"{IMAGES}{{ {body} }}", weights=WEIGHTS)
    assert applied("scales", path, IMAGE, near=1e-4) == left


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("p = MatMul(x, M) q = Add(p, k) r = Mul(q, g) y = Relu(r)", ["MatMul", "Add", "Relu"]),
        ("p = MatMul(x, M) q = Add(k, p) r = Mul(row, q) y = Relu(r)", ["MatMul", "Add", "Relu"]),
        ("p = MatMul(x, M) q = Mul(p, g) y = Relu(q)", ["MatMul", "Relu"]),
        ("p = MatMul(x, M) q = Mul(p, g) r = Add(q, k) y = Relu(r)", ["MatMul", "Add", "Relu"]),
        (
            "p = MatMul(x, M) q = Add(p, k) r = Div(q, one) s = Sub(r, h) y = Relu(s)",
            ["MatMul", "Add", "Relu"],
        ),
    ],
)
def test_it_goes_into_a_product_and_its_bias(
    body: str, left: list[str], save: Any, applied: Any
) -> None:
    assert applied("scales", save(f"{TOKENS}{{ {body} }}", weights=WEIGHTS), ROWS) == left


def test_it_goes_past_a_transpose(save: Any, applied: Any) -> None:
    body = "p = MatMul(x, M) q = Add(p, k) t = Transpose<perm=[0,2,1]>(q) u = Mul(t, c1) "
    body += "y = Relu(u)"
    path = save(
        f"(float[n,3,5] x) => (float[n,4,3] y) {{ {body} }}",
        weights=WEIGHTS | {"c1": _normal(4, 1)},
    )
    assert applied("scales", path, ROWS) == ["MatMul", "Add", "Transpose", "Relu"]


@pytest.mark.parametrize(
    ("gemm", "left"),
    [
        ("Gemm(x, M, k)", ["Gemm", "Relu"]),
        ("Gemm<transB=1>(x, T)", ["Gemm", "Relu"]),
        ("Gemm<transB=1, alpha=0.5, beta=2.0>(x, T, k)", ["Gemm", "Relu"]),
        ("Gemm(x, M, half)", ["Gemm", "Relu"]),
        # The first of two rows is added to the first row of the answer alone.
        ("Gemm(x, M, rows)", None),
        ("Gemm<beta=0.0>(x, M, k)", None),
    ],
)
def test_it_goes_into_a_gemm(gemm: str, left: list[str] | None, save: Any, applied: Any) -> None:
    text = "(float[3,5] x) => (float[3,4] y)"
    body = f"{text} {{ p = {gemm} q = Mul(p, g) r = Add(q, h) y = Relu(r) }}"
    assert applied("scales", save(body, weights=WEIGHTS), {"x": _normal(3, 5)}) == left


@pytest.mark.parametrize(
    "body",
    [
        # Others read the value, or what makes it.
        "t = Conv(x, W) u = Mul(t, planes) y = Add(t, u)",
        "p = Conv(x, W) t = Relu(p) u = Mul(t, planes) y = Relu(u)",
        # It isn't one number a channel.
        "t = Conv<pads=[1,1,1,1]>(x, W) u = Mul(t, columns) y = Relu(u)",
        "t = Conv<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x, W) u = Mul(t, wide) "
        "y = Relu(u)",
        # It is computed, or what it is divided by is 0, or is divided itself.
        "q = Abs(planes) t = Conv(x, W) u = Mul(t, q) y = Relu(u)",
        "t = Conv(x, W) u = Transpose<perm=[0,2,3,1]>(t) v = Div(u, zero) "
        "w = Transpose<perm=[0,3,1,2]>(v) y = Sqrt(w)",
        "t = Conv(x, W) u = Div(planes, t) y = Relu(u)",
        # A part of a HardSigmoid.
        "t = Conv(x, W, c) u = Add(t, one) y = Relu(u)",
        "t = Conv(x, W) u = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(t) "
        "v = Mul(u, planes) y = Relu(v)",
    ],
)
def test_what_is_another_thing_stays(body: str, save: Any, applied: Any) -> None:
    assert applied("scales", save(f"{IMAGES}{{ {body} }}", weights=WEIGHTS), IMAGE) is None


@pytest.mark.parametrize(
    "body",
    [
        # The bias of a product is no shift.
        "p = MatMul(x, M) q = Add(p, k) y = Relu(q)",
        "p = MatMul(x, M) q = Add(p, k) r = Mul(q, rows) y = Relu(r)",
        "p = MatMul(x, M) q = Add(p, k) z = Mul(q, g) y = Add(q, z)",
    ],
)
def test_a_product_stays(body: str, save: Any, applied: Any) -> None:
    assert applied("scales", save(f"{TOKENS}{{ {body} }}", weights=WEIGHTS), ROWS) is None


def test_a_matrix_that_others_read_is_not_copied(save: Any, applied: Any) -> None:
    body = "p = MatMul(x, M) q = Mul(p, g) r = MatMul(x, M) y = Add(q, r)"
    assert applied("scales", save(f"{TOKENS}{{ {body} }}", weights=WEIGHTS), ROWS) is None


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(groups=st.sampled_from([1, 2, 4]), each=st.integers(1, 3), seed=st.integers(0, 99))
def test_transposed_convolutions_have_their_channels_on_another_axis(
    groups: int, each: int, seed: int, save: Any, applied: Any
) -> None:
    random = np.random.default_rng(seed)
    weight = random.standard_normal((4, each, 2, 2)).astype(np.float32)
    scale = random.standard_normal((groups * each, 1, 1)).astype(np.float32)
    shift = random.standard_normal((groups * each, 1, 1)).astype(np.float32)
    body = f"t = ConvTranspose<group={groups}>(x, G) u = Mul(t, a) v = Add(u, b) y = Relu(v)"
    path = save(
        f"(float[n,4,8,8] x) => (float[n,{groups * each},9,9] y) {{ {body} }}",
        weights={"G": weight, "a": scale, "b": shift},
    )
    left = applied("scales", path, IMAGE, near=1e-4)
    # One number in all that is added may be a part of something else.
    assert left == ["ConvTranspose", *(["Add"] if groups * each == 1 else []), "Relu"]
