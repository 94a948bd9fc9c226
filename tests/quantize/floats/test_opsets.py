"""A model's opset is raised where nodes wait for it, and nothing else of the model changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

from edgekit.quantize.elements import read_typed  # noqa: E402
from edgekit.quantize.floats.formats import BF16, FP16  # noqa: E402
from edgekit.quantize.floats.opsets import first_opset, opset_of, raised_for  # noqa: E402

Save = Callable[..., Path]

CONV = "(float[n,8,6,6] x) => (float[n,64,4,4] y) { h = Conv(x, w) y = com.microsoft.FastGelu(h) }"
WEIGHTS = {"w": np.random.default_rng(0).standard_normal((64, 8, 3, 3)).astype(np.float32)}


def raised(model: Any, *, operators: tuple[str, ...] = (), highest: int = 22) -> Any:
    return raised_for(model, BF16, operators=operators, highest=highest)


@pytest.mark.parametrize(
    ("operator", "to", "after", "first"),
    [
        ("Conv", BF16, 20, 22),
        ("MatMul", BF16, 12, 13),
        ("MatMul", BF16, 1, 13),
        ("Conv", FP16, 0, 1),
        ("CumSum", FP16, 13, 14),
        ("NoSuchOperator", BF16, 20, None),
    ],
)
def test_first_opset_is_where_onnx_allows_a_format(
    operator: str, to: Any, after: int, first: int | None
) -> None:
    assert first_opset(operator, to, after=after) == first


def test_everything_but_the_opset_stays(save: Save) -> None:
    path = save(CONV, weights=WEIGHTS)
    whole = onnx.load(path)
    whole.graph.node[0].name = "first"
    entry = whole.metadata_props.add()
    entry.key, entry.value = "package", "net"
    onnx.save(whole, path)
    before = read_typed(path)
    after = raised(before)
    assert (opset_of(before), opset_of(after)) == (20, 22)
    assert [(o.domain, o.version) for o in after.opset_import if o.domain] == [("com.microsoft", 1)]
    for part in ("node", "input", "output", "initializer"):
        assert list(getattr(after.graph, part)) == list(getattr(before.graph, part)), part
    assert after.metadata_props == before.metadata_props
    onnx.checker.check_model(after)


@pytest.mark.parametrize(
    ("operators", "highest"), [(("MatMul",), 22), ((), 21)], ids=["not wanted", "out of reach"]
)
def test_a_model_stays_where_nothing_is_gained(
    operators: tuple[str, ...], highest: int, save: Save
) -> None:
    model = read_typed(save(CONV, weights=WEIGHTS))
    assert raised(model, operators=operators, highest=highest) is model


def test_a_model_stays_where_a_node_would_mean_another_thing(save: Save) -> None:
    # Since opset 21 GroupNormalization's scale has an element a channel, not a group.
    text = (
        "(float[n,4,2,2] x) => (float[n,4,2,2] y) "
        "{ h = GroupNormalization<num_groups=2>(x, s, s) y = Conv(h, w) }"
    )
    weights = {"s": np.ones(2, np.float32), "w": np.ones((4, 4, 1, 1), np.float32)}
    model = read_typed(save(text, weights=weights, opset=20))
    assert raised(model) is model


@pytest.mark.parametrize(
    ("opset", "node"),
    [
        (12, "h = Softmax<axis=1>(x)"),
        (17, "h = ReduceMean<axes=[1], keepdims=1>(x)"),
        (15, "h = RoiAlign<output_height=2, output_width=2>(x, r, i)"),
    ],
    ids=["older than bfloat16", "attributes that became inputs", "another default"],
)
def test_a_model_stays_where_the_way_up_is_no_plain_one(opset: int, node: str, save: Save) -> None:
    text = "(float[n,4,2,2] x, float[k,4] r, int64[k] i) => (float[n,m,h,v] y) "
    weights = {"w": np.ones((4, 4, 1, 1), np.float32)}
    model = read_typed(
        save(text + "{ " + node + " y = ConvTranspose(h, w) }", weights=weights, opset=opset)
    )
    assert raised(model) is model
