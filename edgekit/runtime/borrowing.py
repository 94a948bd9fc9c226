"""Arrays of other libraries, taken in where they lie: DLPack and `__cuda_array_interface__`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime as ort

from edgekit.errors import InputError
from edgekit.runtime.devices import DeviceArray, Held, Place
from edgekit.tensors import Array

_DLPACK_KINDS = {1: "cpu", 2: "cuda", 3: "cpu", 10: "rocm"}
"""What DLPack's numbers are in ONNX Runtime's words; 3 is the processor's memory, page-locked."""


class Pointed:
    """An array of which only `__cuda_array_interface__` tells: an address, read where it lies."""

    def __init__(self, owner: object, told: dict[str, Any], place: Place) -> None:
        self.owner = owner  # keeps the memory
        self.place = place
        self.dtype = np.dtype(told["typestr"])
        self.shape: tuple[int, ...] = tuple(told["shape"])
        self.pointer = int(told["data"][0])

    def bind(self, binding: ort.IOBinding, name: str) -> None:
        """Let a call read it as the input of this name."""
        binding.bind_input(
            name, self.place.kind, self.place.index, self.dtype, self.shape, self.pointer
        )


def place_of(value: Any, assumed: Place) -> Place | None:
    """Tell where an array lies; None of one that doesn't say, like a list.

    `__cuda_array_interface__` doesn't say on which GPU: one that speaks nothing else is taken to
    lie on the `assumed` one.
    """
    if isinstance(value, DeviceArray | Pointed):
        return value.place
    if hasattr(value, "__dlpack_device__"):
        try:
            kind, index = value.__dlpack_device__()
        except Exception:  # the other library's own, of an array that has no memory at all
            return None
        named = _DLPACK_KINDS.get(int(kind), f"DLPack's device type {int(kind)}, number")
        return Place() if named == "cpu" else Place(named, int(index))
    if _points(value):
        return assumed if assumed.kind == "cuda" else Place("cuda")
    return None


def borrow(value: Any, assumed: Place) -> Held:
    """Look at an array of another library where it lies: no copy, and its owner is kept.

    Args:
        value: whatever speaks DLPack or `__cuda_array_interface__`.
        assumed: the device of an array that doesn't say which it is on.

    Raises:
        InputError: it isn't contiguous, or its library doesn't hand it over.
    """
    if isinstance(value, DeviceArray | Pointed):
        return value
    if not hasattr(value, "__dlpack__"):
        return point_at(value, assumed)
    try:
        # No stream: whatever the producer makes of that, the call waits for all of them.
        taken = ort.OrtValue.from_dlpack(value)
    except Exception as error:  # the other library's own, or ONNX Runtime's, of any class
        if "contiguous" in str(error):
            raise _not_contiguous() from error
        if _points(value):
            # Measured: onnxruntime 1.31 refuses DLPack's booleans.
            return point_at(value, place_of(value, assumed) or assumed)
        raise InputError(
            problem=f"A {type(value).__name__} can't be read where it lies "
            f"({' '.join(str(error).split()).rstrip('.')}). Pass it contiguous and without "
            "gradient: .detach().contiguous()."
        ) from error
    return DeviceArray(taken, place_of(value, assumed) or assumed, value)


def copyable(value: Any, place: Place) -> Array | DeviceArray:
    """Return an array that can be copied from: one on the device as it is, else one of the host.

    Raises:
        InputError: it can't be copied from where it lies.
    """
    if isinstance(value, DeviceArray):
        return value
    if place.kind == "cpu" or place_of(value, place) != place:
        try:
            array = np.asarray(value, order="C")
        except Exception as error:  # the other library's own, of any class
            raise InputError(
                problem=f"A {type(value).__name__} can't be copied from ({error})."
            ) from error
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    held = borrow(value, place)
    if not isinstance(held, DeviceArray):
        raise InputError(
            problem=f"A {type(value).__name__} speaks no DLPack, and can't be copied from: pass "
            "cupy.asarray(array)."
        )
    return held


def point_at(value: Any, place: Place) -> Held:
    """Look at an array through its `__cuda_array_interface__`, version 2 or 3.

    Raises:
        InputError: it isn't contiguous, or has a mask.
    """
    try:
        told = value.__cuda_array_interface__
    except Exception as error:  # torch raises for a tensor that wants its gradient
        raise InputError(
            problem=f"A {type(value).__name__} can't be read where it lies ({error})."
        ) from error
    array = Pointed(value, told, place)
    if told.get("mask") is not None:
        raise InputError(problem="An array with a mask can't be passed: fill its elements first.")
    strides = told.get("strides")
    if strides is not None and not _contiguous(array.shape, strides, array.dtype.itemsize):
        raise _not_contiguous()
    return array


def _points(value: Any) -> bool:
    try:
        return hasattr(value, "__cuda_array_interface__")
    except Exception:  # torch, of a tensor on the GPU that wants its gradient
        return True


def _contiguous(shape: tuple[int, ...], strides: Sequence[int], itemsize: int) -> bool:
    """Tell whether strides, in bytes, are those of an array without gaps, the last axis first."""
    expected = itemsize
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size > 1 and stride != expected:
            return 0 in shape
        expected *= size
    return True


def _not_contiguous() -> InputError:
    return InputError(
        problem="An array that isn't contiguous can't be read where it lies: pass "
        "array.contiguous(), or cupy.ascontiguousarray(array)."
    )
