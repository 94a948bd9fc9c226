"""Dimensions that are fixed."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from edgekit.errors import BadValue
from edgekit.optimize.rewriting import rewrite

TEXT = (
    "(float[batch,time,4] x) => (float[batch,n] y) "
    "{ s = Shape(x) a = Slice(s, zero, one) t = Concat<axis=0>(a, minus) y = Reshape(x, t) }"
)
WEIGHTS = {"zero": np.array([0]), "one": np.array([1]), "minus": np.array([-1])}
FEED = {"x": np.arange(24, dtype=np.float32).reshape(2, 3, 4)}


def _inputs(path: Any) -> list[int | str]:
    shape = onnx.load(path).graph.input[0].type.tensor_type.shape
    return [dim.dim_param or dim.dim_value for dim in shape.dim]


def test_a_dimension_becomes_a_size(save: Any, run: Any, tmp_path: Any) -> None:
    path, made = save(TEXT, weights=WEIGHTS), tmp_path / "made.onnx"
    (step,) = rewrite(path, made, passes=[], sizes={"batch": 2}).steps
    assert (step.name, step.changed) == ("sizes", True)
    assert _inputs(made) == [2, "time", 4]
    np.testing.assert_array_equal(run(made, FEED)["y"], run(path, FEED)["y"])


def test_what_is_computed_from_it_is_constant_then(
    save: Any, operators: Any, tmp_path: Any
) -> None:
    made = tmp_path / "made.onnx"
    rewrite(save(TEXT, weights=WEIGHTS), made, passes=["constants"], sizes={"batch": 2, "time": 3})
    assert operators(made) == ["Reshape"]
    assert [d.dim_value for d in onnx.load(made).graph.output[0].type.tensor_type.shape.dim] == [
        2,
        12,
    ]


def test_a_name_that_no_dimension_has_is_refused(save: Any, tmp_path: Any) -> None:
    with pytest.raises(BadValue, match="rows=2"):
        rewrite(save(TEXT, weights=WEIGHTS), tmp_path / "made.onnx", sizes={"rows": 2})
