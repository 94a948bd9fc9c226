"""The same portable int8 file on this processor and on one without VNNI, which is emulated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.random import default_rng

from benchmarks import portable_int8, resnet50_onnx
from edgekit import machine
from edgekit.graph.summary import signature_of
from edgekit.providers.targets import vnni_of

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

HERE = machine.describe()


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Write two convolutions and a product, whose values and weights are all as large as can be:
    the sums of pairs go past 16 bits wherever they may."""
    text = """<ir_version: 10, opset_import: ["": 20]>
        g (float[n,8,6,6] x) => (float[n,10] y) {
            a = Conv<pads=[1,1,1,1]>(x, w1, b) r = Relu(a) c = Conv(r, w2, b) s = Relu(c)
            f = Flatten(s) y = Gemm(f, w3)
        }"""
    model, draws = onnx.parser.parse_model(text), default_rng(0)
    for name, shape in {"w1": (16, 8, 3, 3), "w2": (16, 16, 3, 3), "w3": (256, 10)}.items():
        signs = np.sign(draws.standard_normal(shape) + 0.6).astype(np.float32) / 10
        model.graph.initializer.append(onnx.numpy_helper.from_array(signs, name))
    bias = onnx.numpy_helper.from_array(np.zeros(16, np.float32), "b")
    model.graph.initializer.append(bias)
    path = tmp_path / "network.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.skipif(HERE.arch != "x86_64", reason="the emulated processor is an x86-64 one")
@pytest.mark.skipif(
    portable_int8.emulator() is None, reason=f"{portable_int8.EMULATOR} is not installed"
)
def test_a_portable_model_answers_the_same_without_vnni(network: Path, tmp_path: Path) -> None:
    images = np.abs(default_rng(1).standard_normal((4, 8, 6, 6))).astype(np.float32)
    feeds = {"x": images}
    found = {}
    for bits in portable_int8.TARGETS:
        output = tmp_path / f"{bits}.onnx"
        portable_int8.quantize(network, lambda: iter([feeds]), output, bits=bits)
        found[bits] = portable_int8.compare("network", output, feeds, bits=bits)
    assert found[7].proved
    assert found[7].largest_difference == 0
    assert not found[8].proved
    if vnni_of(HERE.isa):
        assert found[8].largest_difference > 0.01 * found[8].largest_answer


def test_resnet50_is_the_published_network(tmp_path: Path) -> None:
    path = tmp_path / "resnet50.onnx"
    resnet50_onnx.write(path)
    graph = onnx.load(path).graph
    count = [node.op_type for node in graph.node].count
    assert (count("Conv"), count("Add"), count("Gemm")) == (53, 16, 1)
    # 25,557,032 with the two numbers a channel of every batch norm, of which one is left.
    assert sum(np.prod(t.dims) for t in graph.initializer) == 25_557_032 - 26_560
    assert [spec.name for spec in signature_of(path).outputs] == ["scores"]
