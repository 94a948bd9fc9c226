"""Which values reach nothing but a Softmax."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

from edgekit.quantize.elements import read_typed  # noqa: E402
from edgekit.quantize.floats.masks import behind_softmax  # noqa: E402


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("h = Add(x, m) y = Softmax(h)", {"x", "m", "h"}),
        ("k = Unsqueeze(m, a) l = Squeeze(k, a) h = Add(x, l) y = Softmax(h)", "x m k l h a"),
        ("h = Add(x, m) y = Softmax(h) z = Relu(h)", set()),
        ("h = Add(x, m) k = Softmax(h) y = Mul(k, m)", {"x", "h"}),
        ("h = Add(x, m) k = Relu(h) y = Softmax(k)", {"k"}),
        ("y = Add(x, m)", set()),
        ("y = LogSoftmax(x)", set()),
    ],
)
def test_only_values_that_go_nowhere_else_are_named(
    body: str, expected: set[str] | str, save: Callable[..., Path]
) -> None:
    model = save(
        f"(float[n,2] x) => (float[n,2] y) {{ {body} }}",
        weights={"m": np.zeros(2, np.float32), "a": np.array([0])},
    )
    wanted = set(expected.split()) if isinstance(expected, str) else expected
    assert behind_softmax(read_typed(model).graph) == wanted


def test_what_a_branch_uses_goes_elsewhere(save: Callable[..., Path]) -> None:
    model = save(
        "(float[n] x, bool c) => (float[n] y, float[n] z) { h = Mul(x, x) y = Softmax(h) "
        "z = If(c)<then_branch = t () => (float[n] a) { a = Add(h, h) }, "
        "else_branch = e () => (float[n] b) { b = Relu(x) }> }"
    )
    assert behind_softmax(read_typed(model).graph) == set()


def test_what_comes_out_goes_elsewhere(save: Callable[..., Path]) -> None:
    model = save("(float[n] x) => (float[n] y, float[n] h) { h = Mul(x, x) y = Softmax(h) }")
    assert behind_softmax(read_typed(model).graph) == set()
