"""ResNet-50 (He et al. 2015, table 1) as an ONNX file, its weights random, batch norms folded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.random import Generator, default_rng
from onnx import TensorProto, helper, numpy_helper

STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""Channels inside a block, blocks, and the stride of the first."""

_CLASSES = 1000
_BRANCH = 0.3
"""How large a block's own part is beside what passes it by: keeps 16 sums from growing."""


class _Network:
    """A network that grows by a node after the other."""

    def __init__(self, draws: Generator) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._draws = draws

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def weight(self, *shape: int, fan_in: int, gain: float = 1.0) -> str:
        name = f"weight_{len(self.weights)}"
        array = self._draws.standard_normal(shape) * gain * np.sqrt(2 / fan_in)
        self.weights.append(numpy_helper.from_array(array.astype(np.float32), name))
        return name

    def conv(self, x: str, into: tuple[int, int], size: int, stride: int, gain: float = 1.0) -> str:
        channels, made = into
        weight = self.weight(made, channels, size, size, fan_in=channels * size * size, gain=gain)
        bias = self.weight(made, fan_in=200)
        return self.node(
            "Conv",
            x,
            weight,
            bias,
            strides=[stride] * 2,
            pads=[size // 2] * 4,
            kernel_shape=[size] * 2,
        )


def write(path: Path, *, seed: int = 0) -> None:
    """Write the network: float32 [batch, 3, 224, 224] images in, [batch, 1000] scores out."""
    net = _Network(default_rng(seed))
    x = net.node("Relu", net.conv("images", (3, 64), 7, 2))
    x = net.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for inner, blocks, stride in STAGES:
        for block in range(blocks):
            step = stride if block == 0 else 1
            y = net.node("Relu", net.conv(x, (channels, inner), 1, 1))
            y = net.node("Relu", net.conv(y, (inner, inner), 3, step))
            y = net.conv(y, (inner, inner * 4), 1, 1, _BRANCH)
            by = net.conv(x, (channels, inner * 4), 1, step, 0.7) if block == 0 else x
            x, channels = net.node("Relu", net.node("Add", y, by)), inner * 4
    x = net.node("Flatten", net.node("GlobalAveragePool", x))
    weight, bias = net.weight(channels, _CLASSES, fan_in=channels), net.weight(_CLASSES, fan_in=200)
    net.nodes.append(helper.make_node("Gemm", [x, weight, bias], ["scores"], name="gemm"))
    graph = helper.make_graph(
        net.nodes,
        "resnet50",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 224, 224])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", _CLASSES])],
        net.weights,
    )
    opsets = [helper.make_opsetid("", 20)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
