"""Three small models that show what a machine can do: two matrix products, and a pass over memory.

float32   A[n,n] ─▶ MatMul ─▶ Y                    W is constant, so that a kernel may pack it
int8      A uint8 ─▶ DQ ─▶ MatMul ─▶ Q ─▶ Y uint8   W int8 ─▶ DQ: what becomes QLinearMatMul
memory    x ─▶ Mul ─▶ Mul ─▶ … ─▶ Gather ─▶ y      each Mul reads and writes all of it once
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_OPSET, _IR = 17, 8
"""Old enough for every provider's compiler."""


def float_product(path: Path, n: int) -> None:
    """Write the product of an n × n matrix with a constant one, in float32."""
    weight = np.random.default_rng(0).standard_normal((n, n)).astype(np.float32)
    _save(
        path,
        [helper.make_node("MatMul", ["a", "w"], ["y"], name="product")],
        ends=("a", "y"),
        kind=TensorProto.FLOAT,
        shape=(n, n),
        weights=[numpy_helper.from_array(weight, "w")],
    )


def integer_product(path: Path, n: int) -> None:
    """Write the product of an n × n matrix of uint8 with a constant one of int8, as Q/DQ."""
    weight = np.random.default_rng(0).integers(-64, 64, (n, n), np.int8)
    constants = {
        "s": np.float32(0.02),
        "z": np.uint8(128),
        "ws": np.float32(0.01),
        "wz": np.int8(0),
        "ys": np.float32(0.5),
    }
    _save(
        path,
        [
            helper.make_node("DequantizeLinear", ["a", "s", "z"], ["a_float"]),
            helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["w_float"]),
            helper.make_node("MatMul", ["a_float", "w_float"], ["y_float"], name="product"),
            helper.make_node("QuantizeLinear", ["y_float", "ys", "z"], ["y"]),
        ],
        ends=("a", "y"),
        kind=TensorProto.UINT8,
        shape=(n, n),
        weights=[
            numpy_helper.from_array(weight, "w"),
            *(numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()),
        ],
    )


def passes(path: Path, elements: int, times: int) -> None:
    """Write a chain of multiplications of a float32 vector by a number, `times` of them.

    One element of what comes out is given, so that the rest needn't be carried anywhere.
    """
    chain = [
        helper.make_node(
            "Mul", [f"v{step}" if step else "x", "c"], [f"v{step + 1}"], name=f"pass_{step}"
        )
        for step in range(times)
    ]
    _save(
        path,
        [*chain, helper.make_node("Gather", [f"v{times}", "first"], ["y"], name="one_of_it")],
        ends=("x", "y"),
        kind=TensorProto.FLOAT,
        shape=(elements,),
        weights=[
            numpy_helper.from_array(np.asarray(1.0000001, np.float32), "c"),
            numpy_helper.from_array(np.zeros(1, np.int64), "first"),
        ],
        out_shape=(1,),
    )


def _save(
    path: Path,
    nodes: list[onnx.NodeProto],
    *,
    ends: tuple[str, str],
    kind: int,
    shape: tuple[int, ...],
    weights: list[onnx.TensorProto],
    out_shape: tuple[int, ...] = (),
) -> None:
    first = helper.make_tensor_value_info(ends[0], kind, shape)
    last = helper.make_tensor_value_info(ends[1], kind, out_shape or shape)
    graph = helper.make_graph(nodes, path.stem, [first], [last], weights)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR
    )
    onnx.save(model, path)
