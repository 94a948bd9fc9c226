"""An Add before a LayerNormalization."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

WEIGHTS = {"s": np.linspace(0.5, 1.5, 4, dtype=np.float32), "o": np.ones(4, np.float32)}
FEED = {
    "a": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "b": np.cos(np.arange(24, dtype=np.float32)).reshape(2, 3, 4),
}
HEAD = "(float[n,3,4] a, float[n,3,4] b) => "


def test_the_add_becomes_a_sum(save: Any, applied: Any) -> None:
    body = "(float[n,3,4] y) { t = Add(a, b) y = LayerNormalization<axis=-1>(t, s, o) }"
    path = save(HEAD + body, weights=WEIGHTS)
    assert applied("norm-sums", path, FEED) == ["Sum", "LayerNormalization"]


def test_onnxruntime_leaves_the_sum_alone_and_not_the_add(
    save: Any, loaded: Any, tmp_path: Any
) -> None:
    from edgekit.optimize.rewriting import rewrite

    body = "(float[n,3,4] y) { t = Add(a, b) y = LayerNormalization<axis=-1>(t, s, o) }"
    path = save(HEAD + body, weights=WEIGHTS)
    made = tmp_path / "made.onnx"
    rewrite(path, made, passes=["norm-sums"])
    seen = [loaded(model, "ORT_ENABLE_EXTENDED") for model in (path, made)]
    assert seen == [["SkipLayerNormalization"], ["Sum", "LayerNormalization"]]


@pytest.mark.parametrize(
    "body",
    [
        # the sum goes on, so that onnxruntime doesn't fuse it
        "(float[n,3,4] y, float[n,3,4] z) { t = Add(a, b) y = LayerNormalization<axis=-1>(t, s, o) "
        "z = Relu(t) }",
        "(float[n,3,4] y, float[n,3,4] t) { t = Add(a, b) "
        "y = LayerNormalization<axis=-1>(t, s, o) }",
        "(float[n,3,4] y) { t = Mul(a, b) y = LayerNormalization<axis=-1>(t, s, o) }",
    ],
)
def test_what_is_another_thing_stays(body: str, save: Any, applied: Any) -> None:
    assert applied("norm-sums", save(HEAD + body, weights=WEIGHTS), FEED) is None
