"""Attention, as exporters write it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

STEPS, WIDTH, HEADS = 5, 8, 2
SIZE = WIDTH // HEADS
_RANDOM = np.random.default_rng(0)


def _normal(*shape: int) -> Any:
    return _RANDOM.standard_normal(shape).astype(np.float32)


WEIGHTS = {
    **{f"W{c}": _normal(WIDTH, WIDTH) for c in "qkv"},
    **{f"b{c}": _normal(WIDTH) for c in "qkv"},
    "W": _normal(WIDTH, 3 * WIDTH),
    "b": _normal(3 * WIDTH),
    "split": np.array([0, 0, HEADS, SIZE], np.int64),
    "swapped": np.array([0, 0, SIZE, HEADS], np.int64),
    "join": np.array([0, 0, WIDTH], np.int64),
    "unjoined": np.array([-1, STEPS, WIDTH], np.int64),
    "parts": np.array([0, 0, 3, HEADS, SIZE], np.int64),
    "flat": np.array([-1, STEPS, SIZE], np.int64),
    "back": np.array([-1, HEADS, STEPS, SIZE], np.int64),
    **{f"i{i}": np.array([i], np.int64) for i in range(4)},
    "root": np.float32(SIZE**-0.5),
    "divisor": np.float32(SIZE**0.5),
    "low": np.float32(-3.4028235e38),
    "mild": np.float32(-10.0),
    "other": _normal(WIDTH),
}
HEAD = (
    f"(float[n,{STEPS},{WIDTH}] x, bool[n,1,1,{STEPS}] mask, float[1,1,{STEPS},{STEPS}] plus) => "
)
ONE = f"(float[n,{STEPS},{WIDTH}] y) "
FEED = {
    "x": _normal(3, STEPS, WIDTH),
    "mask": np.array([[0, 0, 0, 0, 1], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]], bool)[:, None, None],
    "plus": np.triu(np.full((1, 1, STEPS, STEPS), -np.inf, np.float32), 1),
}

ROW = {"row": np.linspace(-2, 2, STEPS, dtype=np.float32).reshape(1, 1, 1, STEPS)}


def _heads(letter: str, *, shape: str = "split", of: str = "x", moved: str = "") -> str:
    moved = moved or ("[0,2,3,1]" if letter == "k" else "[0,2,1,3]")
    return (
        f"{letter}1 = MatMul({of}, W{letter}) {letter}2 = Add({letter}1, b{letter}) "
        f"{letter}3 = Reshape({letter}2, {shape}) {letter} = Transpose<perm={moved}>({letter}3) "
    )


THREE = _heads("q") + _heads("k") + _heads("v")
SCORES = "s = MatMul(q, k) "
SCALED = SCORES + "t = Mul(s, root) "
AFTER = "o = MatMul(p, v) r = Transpose<perm=[0,2,1,3]>(o) y = Reshape(r, join) "
PLAIN = SCALED + "p = Softmax<axis=-1>(t) " + AFTER


def _written(*parts: str) -> str:
    return HEAD + ONE + "{ " + " ".join(parts) + "}"


PACKED = (
    "l = MatMul(x, W) l2 = Add(l, b) l3 = Reshape(l2, parts) "
    "l4 = Transpose<perm=[2,0,3,1,4]>(l3) "
    + "".join(
        f"{c}0 = Slice(l4, i{i}, i{i + 1}, i0) {c}1 = Squeeze({c}0, i0) "
        for i, c in enumerate("qkv")
    )
)
"""As timm's vision transformers come out of torch's dynamo exporter."""


@pytest.mark.parametrize(
    "body",
    [
        _written(THREE, PLAIN),
        _written(THREE, SCORES, "t = Div(s, divisor) p = Softmax<axis=3>(t) ", AFTER),
        _written(THREE, SCORES, "p = Softmax(s) ", AFTER),
        _written(
            PACKED,
            "q = Mul(q1, root) k2 = Transpose<perm=[0,1,3,2]>(k1) k = Mul(k2, root) "
            "v = Identity(v1) ",
            SCORES,
            "p = Softmax(s) ",
            AFTER,
        ),
        # torch's bmm works on three axes
        _written(
            THREE,
            "v4 = Reshape(v, flat) q4 = Reshape(q, flat) k4 = Transpose<perm=[0,1,3,2]>(k) "
            "k5 = Reshape(k4, flat) k6 = Transpose<perm=[0,2,1]>(k5) s = MatMul(q4, k6) "
            "p = Softmax(s) o = MatMul(p, v4) o1 = Reshape(o, back) "
            "r = Transpose<perm=[0,2,1,3]>(o1) y = Reshape(r, join) ",
        ),
    ],
)
def test_every_way_to_write_it_becomes_one_node(body: str, save: Any, applied: Any) -> None:
    left = applied("attention", save(body, weights=WEIGHTS), FEED)
    assert left is not None
    assert set(left) <= {"MatMul", "Add", "Slice", "MultiHeadAttention"}
    assert left.count("MultiHeadAttention") == 1


def test_queries_may_come_from_elsewhere_than_keys_and_values(save: Any, applied: Any) -> None:
    head = f"(float[n,m,{WIDTH}] z, float[n,{STEPS},{WIDTH}] x) => (float[n,m,{WIDTH}] y) "
    body = _heads("q", of="z") + _heads("k") + _heads("v")
    feed = {"z": _normal(3, 2, WIDTH), "x": FEED["x"]}
    for masked, more in (("p = Softmax(t) ", {}), ("a = Add(t, row) p = Softmax(a) ", ROW)):
        path = save(head + "{ " + body + SCALED + masked + AFTER + "}", weights=WEIGHTS | more)
        left = applied("attention", path, feed)
        assert left is not None
        assert left[-1] == "MultiHeadAttention"
        assert "Softmax" not in left


def test_values_that_are_no_products_will_do(save: Any, applied: Any) -> None:
    body = "".join(
        f"{c}2 = Relu(x) {c}3 = Reshape({c}2, split) {c} = Transpose<perm={moved}>({c}3) "
        for c, moved in (("q", "[0,2,1,3]"), ("k", "[0,2,3,1]"), ("v", "[0,2,1,3]"))
    )
    left = applied("attention", save(_written(body, PLAIN), weights=WEIGHTS), FEED)
    assert left == ["Relu", "Relu", "Relu", "MultiHeadAttention"]


@pytest.mark.parametrize(
    "masked",
    [
        "m = Where(mask, low, t) ",
        "n1 = Not(mask) m = Where(n1, t, low) ",
        "m = Add(t, plus) ",
        "f = Cast<to=1>(mask) g = Mul(f, low) m = Add(g, t) ",
    ],
)
def test_a_mask_is_added_to_the_scores(masked: str, save: Any, applied: Any) -> None:
    body = _written(THREE, SCALED, masked, "p = Softmax(m) ", AFTER)
    left = applied("attention", save(body, weights=WEIGHTS), FEED)
    assert left is not None
    assert left[-1] == "MultiHeadAttention"
    assert "Softmax" not in left


def test_two_attentions_share_the_mask_that_they_share(save: Any, applied: Any) -> None:
    one = THREE + SCALED + "m = Where(mask, low, t) p = Softmax(m) " + AFTER
    again = one
    for name in ("q", "k", "v"):
        for suffix in ("1", "2", "3", ""):
            again = again.replace(f"{name}{suffix} = ", f"{name}{suffix}_ = ")
            again = again.replace(f"({name}{suffix},", f"({name}{suffix}_,")
            again = again.replace(f"({name}{suffix})", f"({name}{suffix}_)")
    again = again.replace("MatMul(q_, k)", "MatMul(q_, k_)").replace(
        "MatMul(p, v)", "MatMul(p_, v_)"
    )
    for name in ("s", "t", "m", "p", "o", "r", "y"):
        again = again.replace(f" {name} = ", f" {name}_ = ")
    again = again.replace("Mul(s,", "Mul(s_,").replace("low, t)", "low, t_)")
    again = again.replace("Softmax(m)", "Softmax(m_)").replace("(o)", "(o_)")
    again = again.replace("Reshape(r,", "Reshape(r_,")
    path = save(HEAD + ONE + "{ " + one + again + "y__ = Add(y, y_) }", weights=WEIGHTS)
    import onnx

    model = onnx.load(path)
    model.graph.output[0].name = "y__"
    onnx.save(model, path)
    left = applied("attention", path, FEED)
    assert (left.count("MultiHeadAttention"), left.count("Expand")) == (2, 1)


@pytest.mark.parametrize(
    "body",
    [
        # column d·N + n: heads and their columns the other way round
        _written(
            _heads("q", shape="swapped", moved="[0,3,1,2]"),
            _heads("k", shape="swapped", moved="[0,3,2,1]"),
            _heads("v"),
            PLAIN,
        ),
        _written(THREE, SCALED, "m = Where(mask, mild, t) p = Softmax(m) ", AFTER),
        _written(THREE, SCORES, "m = Add(s, plus) t = Mul(m, root) p = Softmax(t) ", AFTER),
        _written(THREE, SCALED, "p = Softmax<axis=2>(t) ", AFTER),
        _written(THREE, SCALED, "p = Softmax(t) w = Mul(v, root) ", AFTER.replace("p, v", "p, w")),
        # the heads are not joined again
        _written(THREE, SCALED, "p = Softmax(t) o = MatMul(p, v) y = Reshape(o, unjoined) "),
    ],
)
def test_what_is_another_thing_stays(body: str, save: Any, applied: Any) -> None:
    assert applied("attention", save(body, weights=WEIGHTS), FEED) is None


@pytest.mark.parametrize("seen", ["p", "s", "q3", "o"])
def test_what_is_seen_on_the_way_stays(seen: str, save: Any, applied: Any) -> None:
    end = PLAIN + f"z = Relu({seen}) "
    text = HEAD + f"(float[n,{STEPS},{WIDTH}] y, float z) {{ {THREE}{end}}}"
    import onnx

    path = save(text, weights=WEIGHTS)
    model = onnx.load(path)
    model.graph.output[1].type.tensor_type.ClearField("shape")
    onnx.save(model, path)
    assert applied("attention", path, FEED) is None


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    heads=st.integers(1, 4),
    size=st.sampled_from([1, 2, 4, 8]),
    steps=st.integers(1, 7),
    rows=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_any_numbers_of_heads_steps_and_rows(
    heads: int, size: int, steps: int, rows: int, seed: int, save: Any, applied: Any
) -> None:
    random = np.random.default_rng(seed)
    width = heads * size
    weights = WEIGHTS | {
        "split": np.array([0, 0, heads, size], np.int64),
        "join": np.array([0, 0, width], np.int64),
        **{f"W{c}": random.standard_normal((3, width)).astype(np.float32) for c in "qkv"},
        **{f"b{c}": random.standard_normal(width).astype(np.float32) for c in "qkv"},
    }
    text = f"(float[n,m,3] x) => (float[n,m,{width}] y) {{ {THREE}{PLAIN}}}"
    feed = {"x": random.standard_normal((rows, steps, 3)).astype(np.float32)}
    left = applied("attention", save(text, weights=weights), feed)
    assert left == [*["MatMul", "Add"] * 3, "MultiHeadAttention"]
