from __future__ import annotations

import numpy as np
import onnx_ir
import pytest

from edgekit.tensors import Dim
from exporters.signatures import output_specs

OBSERVED = [
    ({"batch": batch, "time": time}, {"y": (batch, 2 * time, time)})
    for batch, time in ((2, 5), (1, 5), (2, 1), (17, 11))
]


def described(*shape: int | str | None) -> tuple[int | Dim, ...]:
    output = onnx_ir.val("y", onnx_ir.DataType.FLOAT, onnx_ir.Shape(list(shape)))
    model = onnx_ir.Model(onnx_ir.Graph([], [output], nodes=[], name="g"), ir_version=10)
    (spec,) = output_specs(
        model, {"y": np.zeros((2, 10, 5), np.float32)}, OBSERVED, random=frozenset()
    )
    return spec.shape


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        (("batch", "2*time", "time"), ("batch", "2*time", "time")),
        (("Concat_dim_0", "Concat_dim_1", None), ("batch", "y_1", "time")),
        (("batch", "u0", "s1 + time"), ("batch", "y_1", "time")),
    ],
)
def test_sizes_are_named_after_the_input_dimensions_that_they_equal(
    shape: tuple[str | None, ...], names: tuple[str, ...]
) -> None:
    assert described(*shape) == tuple(Dim(name, 0) for name in names)


def test_a_size_that_the_graph_fixes_and_the_original_does_not_is_dynamic() -> None:
    """torch declares the states of an LSTM as long as the example's."""
    assert described("batch", 10, 5) == (Dim("batch", 0), Dim("y_1", 0), Dim("time", 0))


def test_a_size_that_never_changed_stays_as_the_graph_fixes_it() -> None:
    output = onnx_ir.val("y", onnx_ir.DataType.FLOAT, [2, 3])
    model = onnx_ir.Model(onnx_ir.Graph([], [output], nodes=[], name="g"), ir_version=10)
    outputs = {"y": np.zeros((2, 3), np.float32)}
    observed = [({"batch": 2}, {"y": (2, 3)}), ({"batch": 5}, {"y": (5, 3)})]
    (spec,) = output_specs(model, outputs, observed, random=frozenset())
    assert spec.shape == (Dim("batch", 0), 3)
    assert output.shape == onnx_ir.Shape(["batch", 3])


def test_a_random_output_is_marked() -> None:
    output = onnx_ir.val("y", onnx_ir.DataType.FLOAT, [2])
    model = onnx_ir.Model(onnx_ir.Graph([], [output], nodes=[], name="g"), ir_version=10)
    outputs = {"y": np.zeros(2, np.float32)}
    (spec,) = output_specs(model, outputs, [({}, {"y": (2,)})], random=frozenset({"y"}))
    assert spec.random
