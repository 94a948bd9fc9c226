from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from edgekit.errors import OriginalUnavailable
from edgekit.tensors import Dim, RunFacts, Signature, TensorSpec
from edgekit.terms import Memory, members
from edgekit.workers import Call, Worker
from exporters import sources
from exporters.arrays import to_numpy
from exporters.beside import Beside
from exporters.original import Original
from exporters.requests import TargetRequest
from exporters.runners import OriginalRunner, open_compiled, open_eager

FACTORY = """
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.linear = nn.Linear(4, width)

        def forward(self, x):
            assert torch.is_inference_mode_enabled() or not x.any(), "outside inference mode"
            if x.shape[0] == 13:
                raise ValueError("unlucky")
            return {"x": self.linear(x), "none": None}

    def make(width: int = 3):
        return Net(width), torch.rand(2, 4)
"""
SIGNATURE = Signature(
    (TensorSpec("x", "float32", (Dim("n"), 4)),), (TensorSpec("x_out", "float32", (Dim("n"), 3)),)
)


def test_the_original_answers_in_a_worker_and_refuses_other_weights(
    write_file: Callable[..., Path], request_for: Callable[..., TargetRequest]
) -> None:
    request = request_for(write_file(FACTORY))
    original = Original(sources.build(request))
    arguments = {
        "request": request,
        "signature": SIGNATURE,
        "weights_sha256": original.weights_sha256(),
        "threads": 1,
    }
    x = np.random.default_rng(0).random((5, 4), np.float32)
    with Worker("the original", wall_s=100) as worker:
        opened = worker.open(Call("exporters.runners:open_eager", arguments))
        timed = worker.run({"x": x}, calls=2)
        with pytest.raises(OriginalUnavailable, match="pytorch eager: ValueError: unlucky"):
            worker.run({"x": np.ones((13, 4), np.float32)})
        other = TargetRequest(request.target, request.folder, {"width": "6"})
        with pytest.raises(OriginalUnavailable, match="now makes a module with other weights"):
            worker.open(Call("exporters.runners:open_eager", {**arguments, "request": other}))
    assert opened.facts.provider == "pytorch eager"
    assert opened.facts.threads == 1
    assert opened.facts.weights_bytes == 4 * (4 * 3 + 3)
    assert len(timed.durations_ns) == 2
    linear = original.module.linear
    expected = x @ to_numpy(linear.weight).T + to_numpy(linear.bias)  # type: ignore[arg-type,union-attr]
    np.testing.assert_allclose(timed.outputs["x_out"], expected, rtol=1e-5)


@pytest.mark.parametrize("cxx", [None, "/absent/c++"])
def test_compiling_without_a_compiler_is_unavailable(
    cxx: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path) if cxx is None else os.environ["PATH"])
    if cxx is None:
        monkeypatch.delenv("CXX", raising=False)
    else:
        monkeypatch.setenv("CXX", cxx)
    with pytest.raises(OriginalUnavailable, match=r"needs a C\+\+ compiler at run time"):
        open_compiled(TargetRequest("net.py:make", str(tmp_path)), SIGNATURE, "0" * 64, 1)


DRIFTING = """
    import torch
    from torch import nn

    class Net(nn.Module):
        def forward(self, x):
            return {how}

    def make():
        return Net(), torch.rand(2, 4)
"""


@pytest.mark.parametrize(("how", "drifts"), [("x.add_(1) * 2", True), ("x.relu_() * 2", False)])
def test_an_original_whose_answer_drifts_with_its_input_is_not_timed(
    how: str,
    drifts: bool,
    write_file: Callable[..., Path],
    request_for: Callable[..., TargetRequest],
) -> None:
    request = request_for(write_file(DRIFTING.replace("{how}", how)))
    weights = Original(sources.build(request)).weights_sha256()
    runner = open_eager(request, SIGNATURE, weights, 1)
    feed = {"x": np.array([[-1.0, 0.0, 1.0, 2.0]], np.float32)}
    try:
        run = runner.prepare(feed)
        expected = (feed["x"] + 1) * 2 if drifts else np.maximum(feed["x"], 0) * 2
        np.testing.assert_array_equal(runner.fetch(run())["output"], expected)
        run = runner.prepare(feed)
        run()
        if drifts:
            with pytest.raises(OriginalUnavailable, match="changes its input in place"):
                runner.fetch(run())
        else:
            np.testing.assert_array_equal(runner.fetch(run())["output"], expected)
    finally:
        runner.close()


PIXELS = """
    import torch
    from torch import nn
    from exporters.exportable import Exportable, Normalization

    def make():
        image = torch.rand(1, 3, 2, 2)
        return Exportable(nn.Flatten(), (image,), normalization=Normalization("input", (0.5,)))
"""


def test_the_original_of_a_variant_that_takes_pixels_is_fed_by_the_same_steps(
    write_file: Callable[..., Path], request_for: Callable[..., TargetRequest]
) -> None:
    request = request_for(write_file(PIXELS, "pixels.py"))
    weights = Original(sources.build(request)).weights_sha256()
    pixels = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    taking_pixels = msgspec.structs.replace(request, with_preprocessing=True)
    runner = open_eager(taking_pixels, SIGNATURE, weights, 1)
    answer = runner.fetch(runner.prepare({"input": pixels})())["output"]
    runner.close()
    expected = np.moveaxis(pixels / 255 - 0.5, -1, 1).reshape(1, 12)
    np.testing.assert_allclose(answer, expected, rtol=1e-6)


@pytest.fixture
def tf32() -> Iterator[None]:
    """Leave torch's switches as they were."""
    backends: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn]
    before = [backend.allow_tf32 for backend in backends]
    yield
    for backend, allowed in zip(backends, before, strict=True):
        backend.allow_tf32 = allowed


@pytest.mark.parametrize("arrays", members(Memory))
def test_on_a_device_the_original_answers_from_either_memory(
    arrays: Memory,
    tf32: None,
    write_file: Callable[..., Path],
    request_for: Callable[..., TargetRequest],
) -> None:
    request = request_for(write_file(FACTORY))
    weights = Original(sources.build(request)).weights_sha256()
    feed = {"x": np.random.default_rng(0).random((5, 4), np.float32)}
    runners = [
        open_eager(request, SIGNATURE, weights, 1),
        # The processor as the device: all but the wait is what happens on a GPU.
        open_eager(request, SIGNATURE, weights, 1, beside=Beside("cpu", arrays)),
    ]
    expected, answer = (runner.fetch(runner.prepare(feed)()) for runner in runners)
    for runner in reversed(runners):
        runner.close()
    assert list(answer) == ["x_out"]
    np.testing.assert_array_equal(answer["x_out"], expected["x_out"])
    facts = runners[1].facts
    assert (facts.provider, facts.arrays, facts.computes) == ("pytorch eager, cpu", arrays, "fp32")
    assert (runners[0].facts.arrays, runners[0].facts.computes) == ("host", None)


@pytest.mark.parametrize("allowed", [False, True])
def test_tf32_is_that_of_the_other_side_in_products_and_convolutions(
    allowed: bool,
    tf32: None,
    write_file: Callable[..., Path],
    request_for: Callable[..., TargetRequest],
) -> None:
    request = request_for(write_file(FACTORY))
    weights = Original(sources.build(request)).weights_sha256()
    runner = open_eager(request, SIGNATURE, weights, 1, beside=Beside("cpu", tf32=allowed))
    runner.close()
    assert torch.backends.cuda.matmul.allow_tf32 is allowed
    assert torch.backends.cudnn.allow_tf32 is allowed
    assert runner.facts.computes == ("fp32, products in TF32" if allowed else "fp32")


def test_a_call_on_the_gpu_waits_for_it(
    write_file: Callable[..., Path],
    request_for: Callable[..., TargetRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request = request_for(write_file(FACTORY))
    original = Original(sources.build(request))
    happened: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: happened.append(str(device)))
    facts = RunFacts("pytorch eager, cuda", "fp32", 1, arrays="device")

    def run(*args: Any, **kwargs: Any) -> Any:
        happened.append("run")
        return original.module(*args, **kwargs)

    runner = OriginalRunner(original, run, SIGNATURE, facts, device="cuda:0")
    runner._in_place({"x": torch.zeros(1, 4)})()  # there is no GPU to prepare tensors on
    runner.close()
    assert happened == ["run", "cuda:0"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to put it on")
def test_an_original_that_can_not_be_put_on_the_gpu_is_unavailable(
    tf32: None, write_file: Callable[..., Path], request_for: Callable[..., TargetRequest]
) -> None:
    request = request_for(write_file(FACTORY))
    weights = Original(sources.build(request)).weights_sha256()
    with pytest.raises(OriginalUnavailable, match="the original can't be put on cuda:0: "):
        open_eager(request, SIGNATURE, weights, 1, beside=Beside("cuda:0"))
