"""A small net with hard-swish, quantized with Q/DQ by hand, and peaks that needn't be measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.measure.roofline.peaks import keep_peaks
from edgekit.measure.roofline.rates import MachinePeaks
from edgekit.measure.ways import How
from edgekit.package.values import SessionChoice

ONE_THREAD = How(SessionChoice(threads=1))
PEAKS = MachinePeaks(
    provider="cpu",
    threads=1,
    float_gflops=1e4,
    int8_gops=4e4,
    copy_gb_s={1 << 18: 1e4, 1 << 27: 1e3},
    how="made up",
)
"""More than any processor does: nothing shows them to be too low."""


@pytest.fixture
def made_up_peaks() -> MachinePeaks:
    return PEAKS


@pytest.fixture(autouse=True)
def _as_fast_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the machine do what it has always done, without trying it."""
    from edgekit.measure.slowness import explaining

    def now(how: How, *, wall_s: float) -> float | None:
        return PEAKS.float_gflops

    monkeypatch.setattr(explaining, "float_gflops_now", now)


@pytest.fixture
def how() -> How:
    """Run on one thread, with peaks that are known."""
    keep_peaks(ONE_THREAD, PEAKS)
    return ONE_THREAD


@pytest.fixture
def nets(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Write two convolutions with an activation between and behind them, and its Q/DQ form.

    The Q/DQ stand behind each Conv and each activation, as where an activation has no integer form.
    Files: float.onnx and integers.onnx.
    """
    onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")
    from onnx import helper, numpy_helper

    def make(activation: str = "HardSwish", *, channels: int = 16) -> tuple[Path, Path]:
        random = np.random.default_rng(0)
        weights = {
            f"w{n}": random.standard_normal((channels, channels, 3, 3)).astype(np.float32) / 12
            for n in (1, 2)
        }

        def conv(n: int, take: str, weight: str, give: str) -> Any:
            pads = [1, 1, 1, 1]
            return helper.make_node("Conv", [take, weight], [give], name=f"conv{n}", pads=pads)

        def act(n: int, take: str, give: str) -> Any:
            return helper.make_node(activation, [take], [give], name=f"act{n}")

        def save(name: str, nodes: list[Any], constants: dict[str, Any]) -> Path:
            shape: list[str | int] = ["batch", channels, 24, 24]
            x, y = (
                helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, shape)
                for value in "xy"
            )
            tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
            graph = helper.make_graph(nodes, name, [x], [y], tensors)
            model = helper.make_model(
                graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10
            )
            onnx.save(model, tmp_path / f"{name}.onnx")
            return tmp_path / f"{name}.onnx"

        floats = [conv(1, "x", "w1", "c1"), act(1, "c1", "a1")]
        floats += [conv(2, "a1", "w2", "c2"), act(2, "c2", "y")]
        constants: dict[str, Any] = {
            "s": np.float32(0.05),
            "z": np.uint8(128),
            "ws": np.float32(0.004),
            "wz": np.int8(0),
        }
        for name, weight in weights.items():
            constants[f"{name}_q"] = np.clip(np.rint(weight / 0.004), -127, 127).astype(np.int8)
        nodes = []

        def through(value: str, give: str, scale: str = "s", zero: str = "z") -> None:
            nodes.append(helper.make_node("QuantizeLinear", [value, scale, zero], [f"{value}_q"]))
            nodes.append(helper.make_node("DequantizeLinear", [f"{value}_q", scale, zero], [give]))

        through("x", "x_d")
        for n, take, give in ((1, "x_d", "a1"), (2, "a1_d", "y")):
            nodes.append(helper.make_node("DequantizeLinear", [f"w{n}_q", "ws", "wz"], [f"w{n}_d"]))
            nodes.append(conv(n, take, f"w{n}_d", f"c{n}"))
            through(f"c{n}", f"c{n}_d")
            nodes.append(act(n, f"c{n}_d", give))
            if n == 1:
                through("a1", "a1_d")
        return save("float", floats, weights), save("integers", nodes, constants)

    return make
