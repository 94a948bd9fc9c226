from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from edgekit.errors import InputError
from edgekit.runtime.borrowing import borrow, copyable, place_of, point_at
from edgekit.runtime.devices import DeviceArray, Place, copied_to

CPU, CUDA = Place(), Place("cuda", 0)


class Lies:
    """An array that only says on which of DLPack's devices it lies."""

    def __init__(self, kind: int, index: int = 0) -> None:
        self._device = kind, index

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._device


class Pointing:
    """What numba's arrays are: an address, and no DLPack."""

    def __init__(self, array: Any, **told: Any) -> None:
        self.array = array
        interface = array.__array_interface__
        self.told = {name: interface[name] for name in ("shape", "typestr", "data", "strides")}
        self.told |= {"version": 3, "stream": 1, **told}

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return self.told


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (np.zeros(2), CPU),
        ([1.0], None),
        (3, None),
        (Lies(1), CPU),
        (Lies(2, 1), Place("cuda", 1)),
        (Lies(3), CPU),
        (Lies(10), Place("rocm", 0)),
        (Lies(7, 2), Place("DLPack's device type 7, number", 2)),
        (Pointing(np.zeros(2)), CUDA),
    ],
)
def test_an_array_says_where_it_lies(value: Any, place: Place | None) -> None:
    assert place_of(value, CPU) == place


def test_an_array_without_memory_says_nothing() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch has tensors without memory")
    assert place_of(torch.zeros(2, device="meta"), CPU) is None


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float32"])
def test_an_array_is_read_where_it_lies(dtype: str) -> None:
    array = np.zeros((2, 3), dtype)
    held = borrow(array, CPU)
    assert isinstance(held, DeviceArray)
    assert (held.shape, held.dtype, held.place) == ((2, 3), np.dtype(dtype), CPU)
    array[0, 0] = 1
    assert held.numpy()[0, 0] == 1
    assert borrow(held, CPU) is held


def test_a_tensor_of_torch_is_read_where_it_lies_and_kept() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch makes the tensor")
    held = borrow(torch.full((1000, 1000), 3.0), CPU)  # nothing else keeps it
    torch.zeros((1000, 1000))
    assert isinstance(held, DeviceArray)
    assert (held.numpy() == 3).all()


def test_what_has_gaps_or_a_gradient_is_refused_with_what_to_type() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch makes the tensors")
    with pytest.raises(InputError, match=r"pass array\.contiguous\(\)"):
        borrow(torch.zeros(2, 6)[:, ::2], CPU)
    with pytest.raises(InputError, match=r"\.detach\(\)\.contiguous\(\)"):
        borrow(torch.zeros(2, requires_grad=True), CPU)


@pytest.mark.parametrize("dtype", ["bool", "float32"])
def test_an_address_is_bound_as_it_is(dtype: str, write_onnx: Any) -> None:
    onnx_type = {"bool": "bool", "float32": "float"}[dtype]
    graph = f"({onnx_type}[n,3] x) => ({onnx_type}[n,3] y) {{ y = Identity(x) }}"
    session = ort.InferenceSession(write_onnx(graph), providers=["CPUExecutionProvider"])
    array = np.asarray([[0, 1, 0], [1, 1, 0]], dtype)
    held = point_at(Pointing(array), CPU)
    assert (held.shape, held.dtype, held.place) == ((2, 3), np.dtype(dtype), CPU)
    binding = session.io_binding()
    held.bind(binding, "x")
    binding.bind_output("y", "cpu")
    session.run_with_iobinding(binding)
    np.testing.assert_array_equal(binding.copy_outputs_to_cpu()[0], array)


@pytest.mark.parametrize(
    ("shape", "strides", "fits"),
    [
        ((2, 3), (12, 4), True),
        ((2, 3), (4, 8), False),
        ((2, 1), (4, 999), True),
        ((0, 3), (1, 1), True),
        ((), (), True),
    ],
)
def test_an_address_with_gaps_is_refused(
    shape: tuple[int, ...], strides: tuple[int, ...], fits: bool
) -> None:
    told = Pointing(np.zeros(shape, np.float32), strides=strides)
    if fits:
        assert point_at(told, CUDA).shape == shape
    else:
        with pytest.raises(InputError, match="isn't contiguous"):
            point_at(told, CUDA)


def test_an_address_with_a_mask_is_refused() -> None:
    with pytest.raises(InputError, match="mask"):
        point_at(Pointing(np.zeros(2), mask=object()), CUDA)


class WantsItsGradient:
    """As torch's tensors on a GPU are: both protocols raise."""

    def __dlpack__(self) -> Any:
        raise BufferError("can't export tensors that require gradient, use tensor.detach()")

    @property
    def __cuda_array_interface__(self) -> Any:
        raise RuntimeError("can't get it of a tensor that requires grad: use var.detach()")


def test_a_tensor_on_the_gpu_that_wants_its_gradient_is_refused() -> None:
    assert place_of(WantsItsGradient(), CUDA) == CUDA
    with pytest.raises(InputError, match=r"can't be read where it lies .*detach"):
        borrow(WantsItsGradient(), CUDA)


def test_what_is_copied_from_comes_from_the_host_or_the_device() -> None:
    array = copied_to(np.ones(2, np.float32), CPU)
    assert copyable(array, CPU) is array
    assert isinstance(copyable([1.0, 2.0], CPU), np.ndarray)
    with pytest.raises(InputError, match=r"pass cupy\.asarray\(array\)"):
        copyable(Pointing(np.ones(2, np.float32)), CUDA)
