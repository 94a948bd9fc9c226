"""Which convolutions of an image stay in float, and that Q stays behind the pooling there, in plain
ONNX Runtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.random import default_rng

pytest.importorskip("onnx", reason="graphs are built with onnx")

import onnx
import onnxruntime as ort
from onnx import numpy_helper

from edgekit import providers
from edgekit.package.values import SessionChoice, Target
from edgekit.providers.info import DISABLED
from edgekit.providers.targets import X86
from edgekit.quantize.elements import label, read_typed
from edgekit.quantize.qdq.placing import place
from edgekit.quantize.qdq.stems import float_stems, pool_first

POOL = "MaxPool<kernel_shape=[2,2],strides=[2,2]>"
CONV = "Conv<pads=[1,1,1,1]>"
WEIGHTS = {
    name: default_rng(0).standard_normal(shape).astype(np.float32)
    for name, shape in {
        "w": (16, 3, 3, 3),
        "w2": (8, 16, 3, 3),
        "wide": (16, 3, 7, 7),
        "deep": (3, 1, 3, 3),
    }.items()
}
CPU = providers.find("cpu")
VNNI = Target(arch=X86, isa=("avx512_vnni",))


def stems(path: Path, fewest: int = 32) -> list[str]:
    graph = read_typed(path).graph
    weights = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    return list(float_stems(graph, weights=weights, fewest=fewest))


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (f"c = {CONV}(x, w) y = {POOL}(c)", ["Conv:c"]),
        (f"c = {CONV}(x, w) r = Relu(c) y = {POOL}(r)", ["Conv:c"]),
        (f"c = {CONV}(x, w) y = Relu(c)", []),
        (f"c = {CONV}(x, w) y = {CONV}(c, w2)", []),
        (f"c = Conv<pads=[3,3,3,3]>(x, wide) y = {POOL}(c)", []),
        (f"c = Conv<group=3,pads=[1,1,1,1]>(x, deep) y = {POOL}(c)", []),
        (f"n = Neg(x) c = {CONV}(n, w) y = {POOL}(c)", []),
        (f"c = {CONV}(x, w) p = {POOL}(c) a = {POOL}(c) y = Add(p, a)", []),
    ],
    ids=[
        "plain",
        "Relu",
        "no pooling",
        "a second one",
        "wide",
        "groups",
        "no input",
        "two readers",
    ],
)
def test_a_small_convolution_of_an_image_that_is_pooled_stays_float(
    body: str, found: list[str], save: Callable[..., Path]
) -> None:
    path = save(f"(float[n,3,8,8] x) => (float[n,a,b,c] y) {{ {body} }}", weights=WEIGHTS)
    assert stems(path) == found
    assert stems(path, fewest=0) == []


@pytest.mark.parametrize(
    ("target", "scheme", "fewest"),
    [
        (VNNI, "int8-static", 32),
        (Target(arch=X86), "int8-static", 0),
        (Target(arch="aarch64"), "int8-static", 0),
        (VNNI, "int8-dynamic", 0),
    ],
)
def test_where_that_was_measured(target: Target, scheme: Any, fewest: int) -> None:
    assert CPU.quant_rules(scheme, target).stem_products == fewest


@pytest.mark.parametrize("cut", ["Relu(c)", "LeakyRelu<alpha=0.1>(c)", "Clip(c, low, high)"])
@pytest.mark.parametrize("pool", [POOL, "MaxPool<kernel_shape=[3,3],pads=[1,1,1,1],ceil_mode=1>"])
def test_a_pooling_goes_first_and_every_number_stays(
    cut: str, pool: str, save: Callable[..., Path], tmp_path: Path
) -> None:
    ends = {"low": np.float32(0), "high": np.float32(6)}
    body = f"{{ c = {CONV}(x, w) r = {cut} y = {pool}(r) }}"
    path = save(f"(float[1,3,9,9] x) => (float[1,16,h,v] y) {body}", weights=WEIGHTS | ends)
    model = read_typed(path)
    before = [(node.op_type, label(node)) for node in model.graph.node]
    assert pool_first(model.graph, fewest=0) == 0
    assert pool_first(model.graph, fewest=32) == 1
    assert pool_first(model.graph, fewest=32) == 0
    conv, cut_off, pooled = before
    assert [(n.op_type, label(n)) for n in model.graph.node] == [conv, pooled, cut_off]
    onnx.checker.check_model(model)
    onnx.save(model, tmp_path / "moved.onnx")
    x = default_rng(1).standard_normal((1, 3, 9, 9)).astype(np.float32)
    answers = [
        ort.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        for file in (path, tmp_path / "moved.onnx")
    ]
    np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize(
    "body",
    [
        f"c = {CONV}(x, w) r = LeakyRelu<alpha=-0.5>(c) y = {POOL}(r)",
        f"c = {CONV}(x, w) r = Relu(c) y, i = {POOL}(r)",
        f"c = {CONV}(x, w) r = Relu(c) y = MaxPool<kernel_shape=[2,2],dilations=[2,2]>(r)",
    ],
    ids=["turned around", "places wanted", "holes"],
)
def test_a_pooling_stays_where_the_numbers_would_be_others(
    body: str, save: Callable[..., Path]
) -> None:
    path = save(f"(float[n,3,8,8] x) => (float[n,a,b,c] y) {{ {body} }}", weights=WEIGHTS)
    assert pool_first(read_typed(path).graph, fewest=32) == 0
    assert stems(path) == []


def test_onnxruntime_leaves_the_pooling_beside_its_float_convolution(
    save: Callable[..., Path], tmp_path: Path
) -> None:
    body = f"{{ c = {CONV}(x, w) r = Relu(c) p = {POOL}(r) y = {CONV}(p, w2) }}"
    path = save(f"(float[1,3,8,8] x) => (float[1,8,4,4] y) {body}", weights=WEIGHTS)
    model = read_typed(path)
    rules = CPU.quant_rules("int8-static", VNNI)
    pool_first(model.graph, fewest=rules.stem_products)
    spans = {**dict.fromkeys(("x", "c", "r", "y"), (-4.0, 4.0)), "p": (0.0, 4.0)}
    placed = place(model, spans, rules=rules)
    assert placed.nodes == ("Conv:y",)
    assert "of 27 products a value" in placed.kept["Conv:c"]
    onnx.save(model, path)
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert Counter(kinds)["QLinearConv"] == 1
    assert "Relu" not in kinds
    assert kinds.index("MaxPool") < kinds.index("QuantizeLinear")


def test_rewrites_that_were_left_out_on_demand_are_left_out_too() -> None:
    asked = SessionChoice(session_options={DISABLED: "GeluFusion"})
    assert CPU.careful(asked, "fp16").session_options[DISABLED] == (
        "MatmulTransposeFusion;GeluFusion"
    )
    assert CPU.careful(asked, "int8") == asked
