"""What only a GPU shows: memory that the processor can't read, and work that is still going on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.errors import InputError
from edgekit.package.values import SessionChoice
from edgekit.runtime.devices import DeviceArray, Place
from edgekit.runtime.profiling import count_copies
from edgekit.runtime.runner import open_variant

pytestmark = pytest.mark.gpu

X = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def torch() -> Any:
    """PyTorch with a GPU."""
    module = pytest.importorskip("torch", reason="PyTorch makes the tensors")
    if not module.cuda.is_available():
        pytest.skip("this PyTorch can't use the GPU")
    return module


class Pointing:
    """A tensor that speaks nothing but `__cuda_array_interface__`."""

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor

    @property
    def __cuda_array_interface__(self) -> Any:
        return self._tensor.__cuda_array_interface__


@pytest.mark.parametrize("recorded", ["0", "1"])
def test_arrays_come_from_the_host_or_the_gpu(
    recorded: str, tiny_onnx: Any, tiny_answer: Any
) -> None:
    model = edgekit.load(
        tiny_onnx(), provider="cuda", provider_options={"enable_cuda_graph": recorded}
    )
    for scale in (1, 2, 3):
        expected = tiny_answer({"x": scale * X})
        np.testing.assert_allclose(model(scale * X), expected, atol=1e-5)
        answer = model(model.to_device(scale * X))
        assert isinstance(answer, DeviceArray)
        assert answer.place == Place("cuda", 0)
        np.testing.assert_allclose(answer.numpy(), expected, atol=1e-5)


def test_a_tensor_is_read_and_the_answer_handed_on_without_a_copy(
    torch: Any, tiny_onnx: Any, tiny_answer: Any
) -> None:
    model = edgekit.load(tiny_onnx(), provider="cuda")
    tensor = torch.from_numpy(X).cuda()
    for passed in (tensor, Pointing(tensor)):
        answer = torch.from_dlpack(model(passed))
        assert answer.device.type == "cuda"
        np.testing.assert_allclose(answer.cpu().numpy(), tiny_answer({"x": X}), atol=1e-5)
    array = model(tensor)
    seen = torch.as_tensor(array, device="cuda")
    assert seen.data_ptr() == array.__cuda_array_interface__["data"][0]
    with pytest.raises(InputError, match="contiguous"):
        model(tensor.t().contiguous().t())


def test_work_on_another_stream_is_waited_for(torch: Any, tiny_onnx: Any, tiny_answer: Any) -> None:
    model = edgekit.load(tiny_onnx(), provider="cuda")
    stream, tensor = torch.cuda.Stream(), torch.zeros(3, 4, device="cuda")
    busy = torch.rand(4096, 4096, device="cuda")
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        for _ in range(50):
            busy = busy @ busy
            busy /= busy.max()
        tensor.copy_(torch.from_numpy(X))
    np.testing.assert_allclose(model(tensor).numpy(), tiny_answer({"x": X}), atol=1e-5)


def test_both_runners_answer_alike_and_nothing_is_copied_inside(
    tiny_onnx: Any, tiny_answer: Any
) -> None:
    path, choice = tiny_onnx(), SessionChoice(provider="cuda")
    for arrays in ("host", "device"):
        runner = open_variant(str(path), "portable", choice, arrays=arrays)
        answer = runner.fetch(runner.prepare({"x": X})())["y"]
        np.testing.assert_allclose(answer, tiny_answer({"x": X}), atol=1e-5)
        runner.close()
    assert count_copies(path, "portable", choice, feed={"x": X}) == 0
