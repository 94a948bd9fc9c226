from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
import pytest

import edgekit
from edgekit.errors import InputError, ModelClosed, RunFailed
from edgekit.runtime.binding import BoundCall
from edgekit.runtime.borrowing import borrow
from edgekit.runtime.devices import DeviceArray, Place, copied_to

CPU = Place()


class WriteOnnx(Protocol):
    def __call__(self, graph: str, name: str = "net") -> Path: ...


SUM = "(float[n] x, float[n] offset) => (float[n] y, float[n] twice) "
SUM += "{ y = Add(x, offset) twice = Add(y, y) }"


def test_arrays_on_the_device_give_arrays_on_the_device(tiny_onnx: Any, tiny_answer: Any) -> None:
    model = edgekit.load(tiny_onnx())
    x = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)
    there = model.to_device(x)
    assert isinstance(there, DeviceArray)
    for answer in (model(there), model(x=there), model({"x": there})):
        assert isinstance(answer, DeviceArray)
        np.testing.assert_allclose(answer.numpy(), tiny_answer({"x": x}), atol=1e-6)
    assert isinstance(model(x), np.ndarray)


def test_every_call_has_outputs_of_its_own(tiny_onnx: Any) -> None:
    model = edgekit.load(tiny_onnx())
    ones, twos = (model.to_device(np.full((1, 4), n, np.float32)) for n in (1, 2))
    first = model(ones)
    kept = first.numpy()
    model(twos)
    np.testing.assert_array_equal(first.numpy(), kept)


def test_an_answer_goes_into_the_next_call_without_a_copy(write_onnx: WriteOnnx) -> None:
    model = edgekit.load(write_onnx("(float[n] x) => (float[n] y) { y = Add(x, x) }"))
    state = model.to_device(np.ones(3, np.float32))
    for _ in range(5):
        state = model(state)
    np.testing.assert_array_equal(state.numpy(), np.full(3, 32.0))


def test_a_tensor_of_torch_is_read_where_it_lies(write_onnx: WriteOnnx) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch makes the tensor")
    model = edgekit.load(write_onnx("(float16[n] x) => (float16[n] y) { y = Neg(x) }"))
    tensor = torch.ones(3, dtype=torch.float16)
    held = borrow(tensor, CPU)
    tensor += 1  # read when it is called
    answer = torch.from_dlpack(model(held))
    assert answer.dtype == torch.float16
    assert answer.tolist() == [-2.0, -2.0, -2.0]


def test_several_inputs_and_outputs_go_by_name(write_onnx: WriteOnnx) -> None:
    model = edgekit.load(write_onnx(SUM))
    feed = {"offset": np.ones(2, np.float32), "x": np.zeros(2, np.float32)}
    there = model.to_device(feed)
    assert list(there) == ["x", "offset"]
    answer = model(there)
    assert list(answer) == ["y", "twice"]
    assert [array.numpy().tolist() for array in answer.values()] == [[1, 1], [2, 2]]


@pytest.mark.parametrize(
    ("shape", "dtype", "said"),
    [
        ((3, 5), np.float32, r"Axis 1 of x has size 5 and the model takes 4"),
        ((4,), np.float32, r"x has 1 dimensions \[4\] and the model takes 2"),
        ((3, 4), np.float64, r"x has dtype float64 and the model takes float32"),
    ],
)
def test_what_does_not_fit_is_refused_as_from_the_host(
    shape: tuple[int, ...], dtype: Any, said: str, tiny_onnx: Any
) -> None:
    model = edgekit.load(tiny_onnx())
    array = np.zeros(shape, dtype)
    for passed in (array, borrow(array, CPU)):
        with pytest.raises(InputError, match=said):
            model(passed)
    with pytest.raises(InputError, match=said):
        model.to_device(array)


def test_in_the_processors_memory_any_mixture_is_passed(write_onnx: WriteOnnx) -> None:
    model = edgekit.load(write_onnx(SUM))
    x = np.ones(2, np.float32)
    there = model.to_device({"x": x, "offset": x})
    for big in (x, x.astype(">f4"), [1.0, 1.0]):
        answer = model(x=big, offset=there["offset"])
        assert isinstance(answer["y"], np.ndarray)
        np.testing.assert_array_equal(answer["y"], 2 * x)


def test_outputs_whose_size_values_decide_may_change_it(write_onnx: WriteOnnx) -> None:
    model = edgekit.load(write_onnx("(float[n] x) => (int64[1,k] y) { y = NonZero(x) }"))
    call = model.bound(np.array([1, 0, 2], np.float32))
    assert call().numpy()["y"].tolist() == [[0, 2]]
    call.update(np.array([1, 1, 2], np.float32))
    assert call().numpy()["y"].tolist() == [[0, 1, 2]]


def test_what_another_library_alone_can_write_is_said(tiny_onnx: Any) -> None:
    call = edgekit.load(tiny_onnx()).bound(np.zeros((1, 4), np.float32))
    call.inputs["x"] = object()  # type: ignore[assignment]
    with pytest.raises(InputError, match="x is read where another library has it"):
        call.update({"x": np.zeros((1, 4), np.float32)})


def test_values_are_copied_from_whatever_holds_them(tiny_onnx: Any, tiny_answer: Any) -> None:
    x = np.linspace(-1, 1, 4, dtype=np.float32).reshape(1, 4)
    call = edgekit.load(tiny_onnx()).bound(np.zeros((1, 4), np.float32))
    for held in (x, x.astype(">f4"), np.asfortranarray(x), {"x": x}, borrow(x, CPU)):
        call.update(np.zeros((1, 4), np.float32))
        call.update(held)
        (answer,) = call().numpy().values()
        np.testing.assert_allclose(answer, tiny_answer({"x": x}), atol=1e-6)
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match="A Tensor can't be copied from"):
        call.update(torch.zeros(1, 4, requires_grad=True))


def test_names_are_checked_on_the_device_too(tiny_onnx: Any) -> None:
    model = edgekit.load(tiny_onnx())
    there = model.to_device(np.zeros((1, 4), np.float32))
    with pytest.raises(InputError, match="There is no input 'image'"):
        model(image=there)


def test_a_failure_inside_onnxruntime_becomes_ours(write_onnx: WriteOnnx) -> None:
    graph = "(float[n] x, int64[k] i) => (float[k] y) { y = Gather(x, i) }"
    model = edgekit.load(write_onnx(graph))
    feed = model.to_device({"x": np.ones(2, np.float32), "i": np.array([7])})
    with pytest.raises(RunFailed, match="out of data bounds"):
        model(feed)
    with pytest.raises(RunFailed, match="out of data bounds"):
        model.bound(feed)()


def test_many_threads_run_on_the_device_at_once(tiny_onnx: Any, tiny_answer: Any) -> None:
    model = edgekit.load(tiny_onnx(), threads=1)
    inputs = [np.random.default_rng(n).standard_normal((n, 4), np.float32) for n in range(1, 9)]
    there = [model.to_device(x) for x in inputs]
    expected = [tiny_answer({"x": x}) for x in inputs]

    def hammer(seed: int) -> None:
        for turn in range(200):
            at = (seed + turn) % len(inputs)
            np.testing.assert_allclose(model(there[at]).numpy(), expected[at], atol=1e-6)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(hammer, range(4)))


def test_a_bound_call_keeps_its_places_and_reads_what_is_written_there(tiny_onnx: Any) -> None:
    model = edgekit.load(tiny_onnx())
    x = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)
    call = model.bound(x)
    assert call() is call
    first = call.numpy()["y"]
    np.testing.assert_array_equal(first, model(x))
    place = call.outputs["y"]._value.data_ptr()
    for scale in (2, 3):
        call.update({"x": x * scale})
        outputs = call().outputs
        assert outputs["y"]._value.data_ptr() == place
        np.testing.assert_array_equal(outputs["y"].numpy(), model(x * scale))
        np.testing.assert_array_equal(call.numpy()["y"], model(x * scale))


def test_a_bound_call_reads_arrays_of_the_device_where_they_lie(tiny_onnx: Any) -> None:
    model = edgekit.load(tiny_onnx())
    x = np.ones((1, 4), np.float32)
    there = model.to_device(x)
    call = model.bound(there)
    assert call.inputs == {"x": there}
    there.update(2 * x)
    np.testing.assert_array_equal(call().numpy()["y"], model(2 * x))


@pytest.mark.parametrize(
    ("feed", "said"),
    [
        ({"image": np.zeros((1, 4), np.float32)}, "There is no input 'image'; expected: x"),
        ({"x": np.zeros((2, 4), np.float32)}, "can't be copied into one of float32"),
    ],
)
def test_a_bound_call_is_not_updated_with_what_does_not_fit(
    feed: dict[str, Any], said: str, tiny_onnx: Any
) -> None:
    call = edgekit.load(tiny_onnx()).bound(np.zeros((1, 4), np.float32))
    with pytest.raises(InputError, match=said):
        call.update(feed)


def test_a_closed_model_binds_nothing_and_its_arrays_live_on(tiny_onnx: Any) -> None:
    with edgekit.load(tiny_onnx()) as model:
        there = model.to_device(np.ones((1, 4), np.float32))
        answer = model(there)
        kept = answer.numpy()
    for call in (lambda: model.bound(there), lambda: model(there)):
        with pytest.raises(ModelClosed):
            call()
    np.testing.assert_array_equal(answer.numpy(), kept)


class Watched:
    """A session and its binding in one, that note in which order they are used."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self._binding = session.io_binding()
        self.happened: list[str] = []

    def io_binding(self) -> Watched:
        return self

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        assert binding is self
        self.happened.append("run")
        self._session.run_with_iobinding(self._binding, options)

    def __getattr__(self, name: str) -> Any:
        self.happened.append(name)
        return getattr(self._binding, name)


def test_a_call_waits_for_the_device_before_it_binds_and_runs_and_after(tiny_onnx: Any) -> None:
    watched: Any = Watched(ort.InferenceSession(tiny_onnx(), providers=["CPUExecutionProvider"]))
    inputs = {"x": copied_to(np.zeros((1, 4), np.float32), CPU)}
    call = BoundCall(watched, inputs, ["y"], place=CPU, package="tiny")
    assert watched.happened == ["synchronize_inputs", "bind_ortvalue_input", "bind_output"]
    watched.happened.clear()
    call.update({"x": np.ones((1, 4), np.float32)})
    call()
    assert watched.happened == [
        "synchronize_inputs",  # a producer may still be at work on what is copied
        "synchronize_inputs",
        "run",
        "synchronize_outputs",
    ]
