"""A package that is worth tuning, made without torch, and a search that measures little."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekit.budgets import Budget
from edgekit.measure.plan import Plan
from edgekit.measure.results import Bench, Measurement, Quality, Start
from edgekit.tensors import RunFacts
from edgekit.tune import halving, racing
from edgekit.tune.setting import Setting, prepare
from edgekit.tune.ways import Way

INPUTS, HIDDEN, CLASSES = 64, 96, 10


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every race be as short as it may be, and the fastest alone be run in other ways."""

    def plan(stage: int, *, last: bool, wall_s: float) -> Plan:
        del last
        return Plan(starts=2, rounds=1, turn_s=0.005, warm_up_s=0.005, wall_s=wall_s, seed=stage)

    monkeypatch.setattr(racing, "plan_of", plan)
    monkeypatch.setattr(halving, "REFINED", 1)


@pytest.fixture
def network(tmp_path: Path) -> Callable[[], Path]:
    """Pack two layers of random weights, with labelled cases that they read rightly."""
    onnx = pytest.importorskip("onnx", reason="the graph is built with onnx")

    def make() -> Path:
        from edgekit.measure.adopt import adopt

        generator = np.random.default_rng(0)
        first = generator.standard_normal((INPUTS, HIDDEN)).astype(np.float32) / 8
        second = generator.standard_normal((HIDDEN, CLASSES)).astype(np.float32) / 8
        model = onnx.parser.parse_model(
            f'<ir_version: 10, opset_import: ["": 20]> g (float[n,{INPUTS}] x) => '
            f"(float[n,{CLASSES}] y) {{ h = MatMul(x, first) r = Relu(h) y = MatMul(r, second) }}"
        )
        for name, array in (("first", first), ("second", second)):
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        onnx.save(model, tmp_path / "net.onnx")
        seen = generator.standard_normal((400, INPUTS)).astype(np.float32)
        answers = np.maximum(seen @ first, 0) @ second
        np.savez(tmp_path / "train.npz", x=seen[:40])
        np.savez(tmp_path / "held.npz", x=seen[40:], label=answers[40:].argmax(axis=1))
        path = tmp_path / "net.edgekit"
        adopt(
            tmp_path / "net.onnx",
            path,
            eval_data=str(tmp_path / "held.npz"),
            calib_data=str(tmp_path / "train.npz"),
        )
        return path

    return make


@pytest.fixture
def setting(network: Callable[[], Path]) -> Setting:
    return prepare(network(), providers=("cpu",), budgets=(Budget("cosine", 0.9),))


@pytest.fixture
def raced() -> Callable[..., racing.Race]:
    """Make up races of one group, in ns a call; the float variant takes 1,000."""

    def make(
        setting: Setting,
        *entries: tuple[Way, int, Quality | None],
        plan: Plan | None = None,
        starts: int = 2,
    ) -> racing.Race:
        baseline = setting.track.baseline
        measurements = [
            Measurement(
                way.label,
                RunFacts(way.session.provider, "fp32", threads=1),
                [Start(1, 1, 1, None, [], [[ns, ns]]) for _ in range(starts)],
                1000,
                quality=quality,
            )
            for way, ns, quality in [(baseline, 1000, None), *entries]
        ]
        bench = Bench(
            name="net",
            baseline=baseline.label,
            baseline_is="the float variant",
            metric="closeness",
            sizes={},
            batch=1,
            threads=1,
            machine=setting.track.machine,
            plan=plan or Plan(),
            measurements=measurements,
        )
        return racing.Race((bench,))

    return make
