"""Which convolutions of an image stay in float, and that Q stays behind the pooling there."""

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
from edgekit.quantize.elements import read_typed
from edgekit.quantize.qdq.placing import place
from edgekit.quantize.qdq.stems import float_stems

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


def test_with_the_precautions_the_pooling_stays_beside_its_float_convolution(
    save: Callable[..., Path], tmp_path: Path
) -> None:
    body = f"{{ c = {CONV}(x, w) r = Relu(c) p = {POOL}(r) y = {CONV}(p, w2) }}"
    path = save(f"(float[1,3,8,8] x) => (float[1,8,4,4] y) {body}", weights=WEIGHTS)
    model = read_typed(path)
    rules = CPU.quant_rules("int8-static", VNNI)
    spans = dict.fromkeys(("x", "c", "r", "p", "y"), (0.0, 4.0))
    placed = place(model, spans, rules=rules)
    assert placed.nodes == ("Conv:y",)
    assert "of 27 products a value" in placed.kept["Conv:c"]
    onnx.save(model, path)
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    for name, value in CPU.careful(SessionChoice(), "int8").session_options.items():
        options.add_session_config_entry(name, value)
    options.log_severity_level = 3
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert Counter(kinds)["QLinearConv"] == 1
    assert kinds.index("MaxPool") < kinds.index("QuantizeLinear")


def test_rewrites_that_were_left_out_on_demand_are_left_out_too() -> None:
    asked = SessionChoice(session_options={DISABLED: "GeluFusion"})
    assert CPU.careful(asked, "int8").session_options[DISABLED] == (
        "QDQPropagationTransformer;GeluFusion"
    )
    assert CPU.careful(asked, "fp32") == asked
