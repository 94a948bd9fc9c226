"""Means and gates of channels, and that ONNX Runtime then lays nothing out anew for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.random import default_rng

HEAD = "(float[n,3,8,8] x) => "
WEIGHTS = {
    name: default_rng(0).standard_normal(shape).astype(np.float32) / 4
    for name, shape in {
        "w": (32, 3, 3, 3),
        "squeeze": (16, 32, 1, 1),
        "excite": (32, 16, 1, 1),
        "project": (16, 32, 1, 1),
    }.items()
}
AXES = {"axes": np.array([2, 3], np.int64), "back": np.array([-1, -2], np.int64)}
FEED = {"x": default_rng(1).standard_normal((2, 3, 8, 8)).astype(np.float32)}
BLOCK = (
    "h = Conv<pads=[1,1,1,1]>(x, w) m = ReduceMean(h, axes) s = Conv(m, squeeze) r = Relu(s) "
    "e = Conv(r, excite) g = Sigmoid(e) k = Mul(h, g) y = Conv(k, project)"
)
BEFORE = ["Conv", "ReduceMean", "Conv", "Relu", "Conv", "Sigmoid", "Mul", "Conv"]
AFTER = ["Conv", "GlobalAveragePool", "Conv", "Relu", "Conv", "Sigmoid", "Resize", "Mul", "Conv"]


@pytest.mark.parametrize("gated", ["Mul(h, g)", "Mul(g, h)"])
@pytest.mark.parametrize("axes", ["axes", "back"])
def test_a_block_becomes_pool_and_product_of_images(
    gated: str, axes: str, save: Any, applied: Any
) -> None:
    body = BLOCK.replace("Mul(h, g)", gated).replace("axes", axes)
    path = save(HEAD + f"(float[n,16,8,8] y) {{ {body} }}", weights=WEIGHTS | AXES)
    assert applied("squeeze-excite", path, FEED) == AFTER


def test_onnxruntime_lays_nothing_out_anew_within_the_block(
    save: Any, loaded: Any, tmp_path: Path
) -> None:
    from edgekit.optimize.rewriting import rewrite

    path = save(HEAD + f"(float[n,16,8,8] y) {{ {BLOCK} }}", weights=WEIGHTS | AXES)
    made = tmp_path / "made.onnx"
    rewrite(path, made, passes=["squeeze-excite"])
    anew = [
        [name for name in loaded(model, "ORT_ENABLE_ALL") if name.startswith("Reorder")]
        for model in (path, made)
    ]
    if not anew[0]:
        pytest.skip("this processor's convolutions are in no layout of their own")
    assert "ReorderInput" in anew[0]
    assert anew[1] == ["ReorderOutput"]  # of the answer


def test_a_mean_of_channels_alone_is_a_pool_too(save: Any, applied: Any) -> None:
    path = save(HEAD + "(float[n,3,1,1] y) { y = ReduceMean(x, axes) }", weights=AXES)
    assert applied("squeeze-excite", path, FEED) == ["GlobalAveragePool"]


@pytest.mark.parametrize(
    "body",
    [
        "(float[n,3] y) { y = ReduceMean<keepdims=0>(x, axes) }",
        "(float[n,1,8,8] y) { y = ReduceMean(x, channels) }",
        "(float[n,3,8,8] y) { y = Mul(x, numbers) }",
        "(float[n,3,8,8] y) { y = Mul(x, x) }",
        "(float[n,3,8,8] y) { m = ReduceMax(x, channels) y = Mul(x, m) }",
    ],
    ids=["axes lost", "over channels", "constant", "one size", "a number a pixel"],
)
def test_what_is_another_thing_stays(body: str, save: Any, applied: Any) -> None:
    more = {
        "channels": np.array([1], np.int64),
        "numbers": np.ones((1, 3, 1, 1), np.float32),
    }
    path = save(HEAD + body, weights=AXES | more)
    assert applied("squeeze-excite", path, FEED) is None


def test_an_image_of_unknown_size_stays(save: Any, applied: Any) -> None:
    body = "{ m = ReduceMax(x, axes) y = Mul(x, m) }"
    path = save(f"(float[n,3,h,v] x) => (float[n,3,h,v] y) {body}", weights=AXES)
    assert applied("squeeze-excite", path, FEED) is None


def test_a_gate_of_one_image_for_all_stays(save: Any, applied: Any) -> None:
    head = "(float[n,3,8,8] x, float[1,3,1,1] g) => (float[n,3,8,8] y)"
    feed = FEED | {"g": np.full((1, 3, 1, 1), 0.5, np.float32)}
    assert applied("squeeze-excite", save(head + " { y = Mul(x, g) }"), feed) is None
