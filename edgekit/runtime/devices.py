"""Arrays that stay where a model computes, from one call to the next.

Nothing here copies unless its name says so. `edgekit.runtime.borrowing` takes arrays of other
libraries in where they lie; they read these through the same protocols.

**Who waits for whom.** Libraries put work on streams of their own and return before it is done. A
call on a device first waits until everything that was put on the device is done (ONNX Runtime's
`SynchronizeInputs`, on CUDA `cudaDeviceSynchronize`), whatever the stream, and returns when its
answer is there. So neither side has to name a stream: none is asked of a producer, and a consumer
may read on whichever it likes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import numpy as np
import onnxruntime as ort

from edgekit.errors import InputError
from edgekit.tensors import Array, numpy_dtype

_ONNX_NAMES = {"float": "float32", "double": "float64"}


class Place(msgspec.Struct, frozen=True):
    """A memory: ONNX Runtime's word for the kind of device, and which one of its kind."""

    kind: str = "cpu"
    index: int = 0

    def __str__(self) -> str:
        return self.kind if self.kind == "cpu" else f"{self.kind}:{self.index}"


class Held(Protocol):
    """An array on a device, whoever made it, that a call can read where it lies."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    @property
    def place(self) -> Place: ...

    def bind(self, binding: ort.IOBinding, name: str) -> None:
        """Let a call read it as the input of this name."""
        ...


class DeviceArray:
    """An array in the memory of the device that computes; a model gives it and takes it.

    `numpy()` and `numpy.asarray` copy it to the host. `torch.from_dlpack`, `cupy.from_dlpack` and
    any other reader of DLPack, and on CUDA of `__cuda_array_interface__`, read it where it lies.

    Attributes:
        shape: its sizes.
        dtype: its element type, as numpy names it.
        place: the device, `str(place)` is "cuda:0".
    """

    __slots__ = ("_owner", "_value", "dtype", "place", "shape")

    def __init__(self, value: ort.OrtValue, place: Place, owner: object = None) -> None:
        name = value.data_type().removeprefix("tensor(").removesuffix(")")
        self._value = value
        self._owner = owner  # what the memory belongs to
        self.place = place
        self.shape: tuple[int, ...] = tuple(value.shape())
        self.dtype = numpy_dtype(_ONNX_NAMES.get(name, name))

    def numpy(self) -> Array:
        """Copy it to the host."""
        array: Array = self._value.numpy()
        # In the processor's memory ONNX Runtime gives a view, of memory that a call may reuse.
        return array.copy() if self.place.kind == "cpu" else array

    def update(self, array: Array | DeviceArray) -> None:
        """Copy values into it, from the host or from the same device; its address stays.

        Raises:
            InputError: another shape or element type.
        """
        if array.shape != self.shape or array.dtype != self.dtype:
            raise InputError(
                problem=f"An array of {array.dtype} {list(array.shape)} can't be copied into one "
                f"of {self.dtype} {list(self.shape)}."
            )
        self._value.update_inplace(array._value if isinstance(array, DeviceArray) else array)

    def bind(self, binding: ort.IOBinding, name: str) -> None:
        """Let a call read it as the input of this name."""
        binding.bind_ortvalue_input(name, self._value)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError(f"an array on {self.place} can't be read here without a copy")
        array = self.numpy()
        return array if dtype is None else array.astype(dtype, copy=False)

    def __dlpack__(
        self,
        *,
        stream: object = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """Hand it on without a copy, in DLPack's unversioned form; on every stream it is ready.

        Raises:
            BufferError: another device or a copy is asked for, or this onnxruntime would pass
                booleans on as numbers.
        """
        del stream, max_version
        if copy or (dl_device is not None and tuple(dl_device) != self.__dlpack_device__()):
            raise BufferError(f"it is handed on as it lies on {self.place}; numpy() copies")
        if self.dtype == np.bool_ and _release(ort.__version__) < (1, 32):
            # Measured on 1.31: DLPack's readers get uint8.
            raise BufferError(
                "onnxruntime before 1.32 hands booleans on as uint8 through DLPack; read it "
                "through __cuda_array_interface__, or copy it with numpy()"
            )
        return self._value.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        kind, index = self._value.__dlpack_device__()
        return int(kind), int(index)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """How CUDA's Python libraries see it (version 3), without a stream: it is ready."""
        if self.place.kind != "cuda":
            raise AttributeError(f"an array on {self.place} has no __cuda_array_interface__")
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self._value.data_ptr(), False),
            "strides": None,
            "stream": None,
            "version": 3,
        }

    def __repr__(self) -> str:
        return f"<DeviceArray {self.dtype} {list(self.shape)} on {self.place}>"


def empty(shape: Sequence[int], dtype: np.dtype[Any], place: Place) -> DeviceArray:
    """Take memory on a device, whatever stands in it."""
    value = ort.OrtValue.ortvalue_from_shape_and_type(list(shape), dtype, place.kind, place.index)
    return DeviceArray(value, place)


def copied_to(array: Array | DeviceArray, place: Place) -> DeviceArray:
    """Copy an array of the host, or one of the same device, into new memory of a device."""
    made = empty(array.shape, array.dtype, place)
    made.update(array)
    return made


def _release(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
