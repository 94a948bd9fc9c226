"""Arrays that stay on the device, run on the processor's memory: the same code as on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from edgekit.errors import InputError
from edgekit.runtime.devices import DeviceArray, Place, copied_to, empty

CPU = Place()
DTYPES = ["bool", "uint8", "int8", "int32", "int64", "float16", "float32", "float64"]
OLD = tuple(map(int, ort.__version__.split(".")[:2])) < (1, 32)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_an_array_goes_there_and_comes_back(shape: tuple[int, ...], dtype: str) -> None:
    array = np.asarray(np.random.default_rng(0).integers(0, 2, shape), dtype=dtype)
    there = copied_to(array, CPU)
    assert (there.shape, there.dtype, there.place) == (shape, np.dtype(dtype), CPU)
    for back in (there.numpy(), np.asarray(there), np.array(there)):
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)
        back[...] = 1  # a copy: what lies there stays
    np.testing.assert_array_equal(there.numpy(), array)


def test_what_is_read_through_dlpack_is_the_same_memory() -> None:
    there = copied_to(np.zeros((2, 3), np.float32), CPU)
    view = np.from_dlpack(there)
    assert view.dtype == np.float32
    there.update(np.ones((2, 3), np.float32))
    assert view.all()
    assert there.__dlpack_device__() == (1, 0)
    del there
    assert view.all()  # the reader keeps the memory


def test_torch_reads_it_where_it_lies() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch reads the array")
    there = copied_to(np.zeros((2, 3), np.float16), CPU)
    tensor = torch.from_dlpack(there)
    assert tensor.dtype == torch.float16
    tensor += 2
    assert (there.numpy() == 2).all()


def test_booleans_stay_booleans_or_are_refused() -> None:
    there = copied_to(np.array([True, False]), CPU)
    if OLD:
        with pytest.raises(BufferError, match=r"before 1\.32"):
            np.from_dlpack(there)
    else:
        assert np.from_dlpack(there).dtype == np.bool_


@pytest.mark.parametrize("asked", [{"copy": True}, {"dl_device": (2, 0)}])
def test_dlpack_neither_copies_nor_moves(asked: dict[str, Any]) -> None:
    with pytest.raises(BufferError, match="as it lies on cpu"):
        copied_to(np.zeros(2, np.float32), CPU).__dlpack__(**asked)


def test_numpy_without_a_copy_is_refused() -> None:
    there = copied_to(np.zeros(2, np.float32), CPU)
    with pytest.raises(ValueError, match="without a copy"):
        np.array(there, copy=False)
    assert np.asarray(there, dtype=np.float64).dtype == np.float64


@pytest.mark.parametrize("array", [np.zeros((3, 2), np.float32), np.zeros((2, 3), np.float64)])
def test_values_of_another_form_are_not_copied_into_it(array: Any) -> None:
    there = empty((2, 3), np.dtype(np.float32), CPU)
    with pytest.raises(InputError, match=r"can't be copied into one of float32 \[2, 3\]"):
        there.update(array)


def test_values_come_from_another_array_of_the_device_or_from_any_layout() -> None:
    there = empty((2, 3), np.dtype(np.float32), CPU)
    there.update(copied_to(np.full((2, 3), 7, np.float32), CPU))
    assert (there.numpy() == 7).all()
    turned = np.arange(6, dtype=np.float32).reshape(3, 2).T
    there.update(turned)
    np.testing.assert_array_equal(there.numpy(), turned)


def test_only_an_array_on_cuda_has_a_cuda_array_interface() -> None:
    array = copied_to(np.zeros((2, 3), np.float16), CPU)
    assert not hasattr(array, "__cuda_array_interface__")
    assert repr(array) == "<DeviceArray float16 [2, 3] on cpu>"
    # There is no GPU here: only the place is another.
    told: Any = DeviceArray(array._value, Place("cuda", 1)).__cuda_array_interface__
    assert told == {
        "shape": (2, 3),
        "typestr": "<f2",
        "data": (array._value.data_ptr(), False),
        "strides": None,
        "stream": None,
        "version": 3,
    }
    assert str(Place("cuda", 1)) == "cuda:1"
