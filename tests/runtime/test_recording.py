"""CUDA graphs without a GPU: the same calls on a provider that takes the option and ignores it."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
import pytest

import edgekit
from edgekit.errors import InputError
from edgekit.package.values import SessionChoice
from edgekit.providers import cpu, options
from edgekit.runtime.devices import DeviceArray, Place
from edgekit.runtime.model import Model
from edgekit.runtime.recording import MOST_SHAPES, Recorded

ON = {"enable_cuda_graph": "1"}
CUDA = SessionChoice(provider="cuda", provider_options=ON)


class WriteOnnx(Protocol):
    def __call__(self, graph: str, name: str = "net") -> Path: ...


@pytest.fixture
def recorded(tiny_onnx: Any, monkeypatch: pytest.MonkeyPatch) -> Model:
    """Load a model whose calls go through recordings, on a CPU provider that has the option."""
    known = {"enable_cuda_graph": options.flag("record and replay")}
    provider = dataclasses.replace(cpu.PROVIDER, device="cpu", options=known)
    monkeypatch.setattr(cpu, "PROVIDER", provider)
    return edgekit.load(tiny_onnx(), provider_options=ON)


def test_arrays_of_the_host_are_answered_as_ever(recorded: Model, tiny_answer: Any) -> None:
    answers = []
    for scale in (1, 2, 3):
        x = np.full((2, 4), scale, np.float32)
        answers.append((recorded(x), tiny_answer({"x": x})))
    for answer, expected in answers:  # none was written over by a later call
        assert isinstance(answer, np.ndarray)
        np.testing.assert_allclose(answer, expected, atol=1e-6)


def test_arrays_of_the_device_are_copied_in_and_out(recorded: Model, tiny_answer: Any) -> None:
    answers = []
    for scale in (1, 2):
        x = np.full((2, 4), scale, np.float32)
        answers.append((recorded(recorded.to_device(x)), tiny_answer({"x": x})))
    for answer, expected in answers:
        assert isinstance(answer, DeviceArray)
        np.testing.assert_allclose(answer.numpy(), expected, atol=1e-6)


def test_each_combination_of_shapes_has_a_recording_up_to_a_few(recorded: Model) -> None:
    for rows in range(1, MOST_SHAPES + 1):
        assert recorded(np.zeros((rows, 4), np.float32)).shape[0] == rows
    with pytest.raises(InputError, match=r"x \[17, 4\]: kernels are recorded for 16 combinations"):
        recorded(np.zeros((MOST_SHAPES + 1, 4), np.float32))
    assert recorded(np.zeros((1, 4), np.float32)).shape[0] == 1


def test_a_bound_call_of_one_combination_is_one_and_the_same(recorded: Model) -> None:
    x = np.ones((2, 4), np.float32)
    call = recorded.bound(x)
    expected = [recorded(x), recorded(2 * x)]
    assert recorded.bound(2 * x) is call
    np.testing.assert_array_equal(call().numpy()["y"], expected[1])
    assert recorded.bound(np.ones((3, 4), np.float32)) is not call


def test_many_threads_share_the_recordings(recorded: Model, tiny_answer: Any) -> None:
    inputs = [np.random.default_rng(n).standard_normal((n % 3 + 1, 4)) for n in range(6)]
    feeds = [x.astype(np.float32) for x in inputs]
    expected = [tiny_answer({"x": x}) for x in feeds]

    def hammer(seed: int) -> None:
        for turn in range(100):
            at = (seed + turn) % len(feeds)
            np.testing.assert_allclose(recorded(feeds[at]), expected[at], atol=1e-6)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(hammer, range(4)))


class Watched:
    """A session that notes which recording each of its runs belongs to."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self.ids: list[str] = []
        self.inputs: list[int] = []
        self.outputs: list[int] = []

    def io_binding(self) -> ort.IOBinding:
        return self._session.io_binding()

    def run_with_iobinding(self, binding: ort.IOBinding, run: ort.RunOptions) -> None:
        self.ids.append(run.get_run_config_entry("gpu_graph_id"))
        self._session.run_with_iobinding(binding, run)
        self.outputs.append(binding.get_outputs()[0].data_ptr())


def test_a_recording_has_a_number_and_addresses_of_its_own(tiny_onnx: Any) -> None:
    watched = Watched(ort.InferenceSession(tiny_onnx(), providers=["CPUExecutionProvider"]))
    session: Any = watched
    recorded = Recorded(session, ["y"], place=Place(), package="net")
    one, two = np.zeros((1, 4), np.float32), np.zeros((2, 4), np.float32)
    for x in (one, two, one, one, two):
        recorded.run(["y"], {"x": x})
    # -1 is not recorded: that run gives the outputs their places.
    assert watched.ids == ["-1", "1", "-1", "2", "1", "1", "2"]
    places: dict[str, set[int]] = {}
    for number, place in zip(watched.ids, watched.outputs, strict=True):
        places.setdefault(number, set()).add(place)
    assert len(places["1"]) == len(places["2"]) == 1
    assert places["1"] != places["2"]
