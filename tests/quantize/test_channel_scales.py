"""Batch norms, scales and shifts of channels in the weights in front of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.random import default_rng

from edgekit import providers
from edgekit.package.values import Target
from edgekit.quantize import scheme
from edgekit.quantize.channel_scales import fold_channel_scales
from edgekit.quantize.elements import label, read_typed
from edgekit.quantize.scheme import Settings, Work
from edgekit.terms import Scheme

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

Save = Callable[..., Path]
Run = Callable[[Path, dict[str, Any]], dict[str, Any]]

_DRAWS = default_rng(0).standard_normal
SHAPES = {
    **dict.fromkeys(("b", "k"), (2,)),
    **dict.fromkeys(("planes", "shifts"), (2, 1, 1)),
    "w": (2, 3, 3, 3),
    "u": (3, 2, 3, 3),
    "p": (3, 2, 3, 3),
    "M": (3, 2),
    "T": (2, 3),
    "row": (1, 1, 2),
    "tokens": (4, 2),
}
WEIGHTS = {name: _DRAWS(shape).astype(np.float32) for name, shape in SHAPES.items()} | {
    name: np.array(values, np.float32)
    for name, values in {
        "g": [1.5, -0.5],
        "h": [0.1, 2.0],
        "m": [0.3, -1.0],
        "v": [0.5, 2.0],
        "half": 0.5,
        "none": [0.0, 0.0],
    }.items()
}
NORM = "BatchNormalization<epsilon=0.01>"
IMAGE = {"x": default_rng(1).standard_normal((2, 3, 6, 6)).astype(np.float32)}
ROWS = {"x": default_rng(1).standard_normal((2, 4, 3)).astype(np.float32)}
IMAGES = "(float[n,3,6,6] x) => (float[n,2,i,j] y)"
TOKENS = "(float[n,4,3] x) => (float[n,4,2] y)"
MATRIX = "(float[4,3] x) => (float[4,2] y)"


def used(*bodies: str) -> dict[str, Any]:
    """Give the weights that are named in a graph."""
    words = {word.strip("(),{}") for body in bodies for word in body.split()}
    return {name: array for name, array in WEIGHTS.items() if name in words}


@pytest.mark.parametrize(
    ("inputs", "body", "left"),
    [
        (IMAGES, f"a = Conv( x, w ) c = {NORM}( a, g, h, m, v ) y = Relu(c)", "Conv Relu"),
        (IMAGES, f"a = Conv( x, w, b ) c = {NORM}( a, g, h, m, v ) y = Relu(c)", "Conv Relu"),
        (
            IMAGES,
            f"a = Conv( x, w ) c = AveragePool<kernel_shape=[2,2]>(a) d = {NORM}( c, g, h, m, v ) "
            "y = Relu(d)",
            "Conv AveragePool Relu",
        ),
        (IMAGES, "a = Conv( x, w ) y = Mul( a, planes )", "Conv"),
        (IMAGES, "a = Conv( x, w, b ) c = Mul( half, a ) y = Relu(c)", "Conv Relu"),
        (
            IMAGES,
            "a = Conv( x, w, b ) c = Div( a, planes ) d = Sub( shifts, c ) y = Relu(d)",
            "Conv Relu",
        ),
        (
            IMAGES,
            "a = ConvTranspose( x, u ) c = Mul( a, planes ) y = Relu(c)",
            "ConvTranspose Relu",
        ),
        (TOKENS, "a = MatMul( x, M ) c = Mul( a, g ) y = Relu(c)", "MatMul Relu"),
        (
            TOKENS,
            "a = MatMul( x, M ) c = Add( k, a ) d = Mul( c, row ) e = Add( d, h ) y = Relu(e)",
            "MatMul Add Relu",
        ),
        (MATRIX, "a = Gemm<transB=1, beta=2.0>( x, T, k ) c = Mul( a, g ) y = Add( c, h )", "Gemm"),
    ],
)
def test_what_is_folded_gives_the_same_numbers(
    inputs: str, body: str, left: str, save: Save, run: Run, tmp_path: Path
) -> None:
    path = save(f"{inputs} {{ {body} }}", weights=used(body))
    model = read_typed(path)
    before = {label(node) for node in model.graph.node}
    assert fold_channel_scales(model) > 0
    assert [node.op_type for node in model.graph.node] == left.split()
    assert {label(node) for node in model.graph.node} <= before
    read = {name for node in model.graph.node for name in node.input}
    assert {tensor.name for tensor in model.graph.initializer} <= read
    onnx.checker.check_model(model)
    onnx.save(model, tmp_path / "folded.onnx")
    feed = IMAGE if inputs is IMAGES else ROWS if inputs is TOKENS else {"x": ROWS["x"][0]}
    folded, exact = (run(p, feed)["y"] for p in (tmp_path / "folded.onnx", path))
    np.testing.assert_allclose(folded, exact, atol=1e-5)


def test_a_scale_goes_past_a_transpose(save: Save, run: Run, tmp_path: Path) -> None:
    body = """(float[n,4,3] x) => (float[n,2,4] y) {
        a = MatMul( x, M ) c = Add( a, k ) d = Transpose<perm=[0,2,1]>(c) y = Mul( d, along ) }"""
    path = save(body, weights={**used(body), "along": WEIGHTS["g"].reshape(2, 1)})
    model = read_typed(path)
    assert fold_channel_scales(model) == 1
    assert [node.op_type for node in model.graph.node] == ["MatMul", "Add", "Transpose"]
    onnx.save(model, tmp_path / "folded.onnx")
    folded, exact = (run(p, ROWS)["y"] for p in (tmp_path / "folded.onnx", path))
    np.testing.assert_allclose(folded, exact, atol=1e-5)


def test_weights_that_two_convolutions_share_become_two(
    save: Save, run: Run, tmp_path: Path
) -> None:
    body = """(float[n,3,6,6] x) => (float[n,2,4,4] y) { z = Neg(x)
        a = Conv( x, w ) c = Mul( a, planes ) d = Add( c, shifts )
        e = Conv( z, w ) f = Mul( e, half ) y = Sub( d, f ) }"""
    path = save(body, weights=used(body))
    model = read_typed(path)
    assert fold_channel_scales(model) == 3
    onnx.save(model, tmp_path / "folded.onnx")
    folded, exact = (run(p, IMAGE)["y"] for p in (tmp_path / "folded.onnx", path))
    np.testing.assert_allclose(folded, exact, atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "body"),
    [
        # Someone else reads what the weights make.
        (IMAGES, f"a = Conv( x, w ) c = {NORM}( a, g, h, m, v ) d = Relu(a) y = Add(c, d)"),
        (IMAGES, "a = Conv( x, w ) c = Mul( a, planes ) y = Add(a, c)"),
        (TOKENS, "a = MatMul( x, M ) c = Add( a, k ) d = Mul( c, g ) e = Relu(a) y = Add(d, e)"),
        (
            "(float[n,3,6,6] x) => (float[n,2,4,4] y, float[n,2,4,4] a)",
            f"a = Conv( x, w ) y = {NORM}( a, g, h, m, v )",
        ),
        # It is behind something else.
        (
            "(float[n,2,6,6] x) => (float[n,2,6,6] y)",
            f"a = Relu(x) y = {NORM}( a, g, h, m, v )",
        ),
        # Its numbers are computed.
        (
            "(float[n,3,6,6] x, float[2] z) => (float[n,2,4,4] y)",
            f"a = Conv( x, w ) y = {NORM}( a, z, h, m, v )",
        ),
        (IMAGES, "a = Conv( x, w ) c = Abs( planes ) y = Mul(a, c)"),
        # It isn't one number a channel, or divides by 0, or is divided.
        (TOKENS, "a = MatMul( x, M ) c = Add( a, k ) y = Mul( c, tokens )"),
        (TOKENS, "a = MatMul( x, M ) y = Div( a, none )"),
        (IMAGES, "a = Conv( x, w ) y = Div( planes, a )"),
        # The bias of a product is no shift, even where it is 0.
        (TOKENS, "a = MatMul( x, M ) y = Add( a, k )"),
        (TOKENS, "a = MatMul( x, M ) y = Add( a, none )"),
        # A part of a HardSigmoid.
        (IMAGES, "a = Conv( x, w, b ) y = Add( a, half )"),
        # A table that is read elsewhere.
        (TOKENS, "a = MatMul( x, M ) c = Mul( a, g ) d = MatMul( x, M ) y = Add(c, d)"),
    ],
)
def test_what_may_not_go_stays(inputs: str, body: str, save: Save) -> None:
    model = read_typed(save(f"{inputs} {{ {body} }}", weights=used(body)))
    before = model.SerializeToString()
    assert fold_channel_scales(model) == 0
    assert model.SerializeToString() == before


LAYER_SCALE = """(float[n,4,16] x) => (float[n,4,16] y) {
    a = MatMul( x, up ) c = Add( a, b1 ) d = Relu(c)
    e = MatMul( d, down ) f = Add( e, b2 ) g = Mul( f, gamma ) y = Add( x, g ) }"""
LAYER = {
    "up": default_rng(3).standard_normal((16, 32)).astype(np.float32),
    "down": default_rng(4).standard_normal((32, 16)).astype(np.float32),
    "b1": default_rng(5).standard_normal(32).astype(np.float32),
    "b2": default_rng(6).standard_normal(16).astype(np.float32),
    "gamma": default_rng(7).standard_normal(16).astype(np.float32),
}


@pytest.mark.parametrize("kind", ["int8-static", "int8-dynamic"])
def test_no_scale_is_left_behind_integers_and_its_node_may_still_be_named(
    kind: Scheme, save: Save, run: Run, tmp_path: Path
) -> None:
    path = save(LAYER_SCALE, weights=LAYER)
    feeds = [{"x": default_rng(i).standard_normal((3, 4, 16)).astype(np.float32)} for i in range(4)]
    target = Target(arch="x86_64", isa=("avx512_vnni",))
    work = Work(
        model=path,
        scratch=tmp_path,
        feeds=lambda: iter(feeds),
        cases=len(feeds),
        target=target,
        rules=providers.find("cpu").quant_rules(kind, target),
        settings=Settings(),
    )
    write = scheme.find(kind).prepare(work)
    exact = run(path, feeds[0])["y"]
    for keep in ((), ("Mul:g",), ("Mul:g", "MatMul:a")):
        output = tmp_path / "int8.onnx"
        made = write(output, keep)
        assert made.recipe.keep_float == tuple(sorted(keep))
        assert set(made.nodes) == {"MatMul:a", "MatMul:e"} - set(keep)
        read = {name for node in onnx.load(output).graph.node for name in node.input}
        assert "gamma" not in read
        got = run(output, feeds[0])["y"]
        assert np.abs(got - exact).max() < 0.03 * np.abs(exact).max()
