"""Hold what is fed against what the model takes, before ONNX Runtime can misread it.

ONNX Runtime answers a big-endian array with NaN or zeros and says nothing, so an array is passed
on untouched only if its dtype is the very one expected, contiguous and aligned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from edgekit.errors import InputError
from edgekit.tensors import Array, Dim, Signature, TensorSpec

T = TypeVar("T")

_RANKS = {"b": 0, "i": 1, "u": 1, "f": 2}
"""numpy's kinds of numbers: a list of one kind may become an array of its own or a higher rank."""


def conform(signature: Signature, feed: Mapping[str, Any]) -> dict[str, Array]:
    """Return `feed` as arrays of the expected types and layout, in the signature's order.

    Lists and numbers are converted where their values fit; arrays in another memory layout or byte
    order are copied; an array of another type is refused, because a cast can lose what it holds.

    Raises:
        InputError: a name or dtype that doesn't fit, with what was expected.
    """
    return by_spec(signature, feed, _as_array)


def from_host(feed: Mapping[str, Any]) -> bool:
    """Tell whether all arrays are numpy's own; any other array may lie on a device."""
    for value in feed.values():  # noqa: SIM110 - half a microsecond less than `all` of a generator
        if type(value) is not np.ndarray:
            return False
    return True


def check_shapes(signature: Signature, arrays: Mapping[str, Any]) -> None:
    """Check every rank and size, and that dimensions of one name have one size.

    Raises:
        InputError: a rank or size that doesn't fit, with what was expected.
    """
    sizes: dict[str, tuple[int, TensorSpec]] = {}
    for spec in signature.inputs:
        shape = arrays[spec.name].shape
        if len(shape) != len(spec.shape):
            raise InputError(
                problem=f"{spec.name} has {len(shape)} dimensions {list(shape)} and the model "
                f"takes {len(spec.shape)}: {spec}."
            )
        for axis, (size, expected) in enumerate(zip(shape, spec.shape, strict=True)):
            if not _fits(size, expected):
                raise InputError(
                    problem=f"Axis {axis} of {spec.name} has size {size} and the model takes "
                    f"{expected}: {spec}."
                )
            if isinstance(expected, Dim):
                seen, first = sizes.setdefault(expected.name, (size, spec))
                if seen != size:
                    raise InputError(
                        problem=f"The dimension {expected.name} is {seen} in {first.name} and "
                        f"{size} in {spec.name}; it must be the same: {first}; {spec}."
                    )


def by_spec(
    signature: Signature, feed: Mapping[str, Any], convert: Callable[[TensorSpec, Any], T]
) -> dict[str, T]:
    """Convert each input by its specification, in the signature's order.

    Raises:
        InputError: a name that is missing, or that no input has.
    """
    arrays: dict[str, T] = {}
    for spec in signature.inputs:
        if spec.name not in feed:
            raise _wrong_names(signature, feed)
        arrays[spec.name] = convert(spec, feed[spec.name])
    if len(feed) != len(arrays):
        raise _wrong_names(signature, feed)
    return arrays


def _wrong_names(signature: Signature, feed: Mapping[str, Any]) -> InputError:
    expected = [spec.name for spec in signature.inputs]
    takes = "; ".join(map(str, signature.inputs)) or "no input"
    for name in feed:
        if name not in expected:
            return InputError(problem=f"There is no input {name!r}; expected: {takes}.")
    missing = next(name for name in expected if name not in feed)
    return InputError(problem=f"The input {missing!r} is missing; expected: {takes}.")


def _fits(size: int, expected: int | Dim) -> bool:
    if isinstance(expected, Dim):
        return size >= expected.low and (expected.high is None or size <= expected.high)
    return size == expected


def _as_array(spec: TensorSpec, value: Any) -> Array:
    dtype = np.dtype(spec.dtype)
    if not isinstance(value, np.ndarray | np.generic):
        # Before the buffer and array protocols: torch says here what it cannot hand over.
        if not hasattr(value, "__dlpack__"):
            return _converted(spec, value, dtype)
        value = _from_dlpack(spec, value)
    elif _is_masked(value):
        raise _masked(spec)
    check_dtype(spec, value.dtype)
    return _native(value, dtype)


def check_dtype(spec: TensorSpec, found: np.dtype[Any]) -> None:
    """Check an element type, whatever its byte order.

    Raises:
        InputError: it isn't that of the input.
    """
    if found.newbyteorder("=") != np.dtype(spec.dtype):
        raise InputError(
            problem=f"{spec.name} has dtype {found.name} and the model takes {spec.dtype}: "
            f"{spec}. Convert it with .astype({spec.dtype!r}) if that loses nothing."
        )


def _native(value: Any, dtype: np.dtype[Any]) -> Array:
    # ascontiguousarray would turn a scalar into a vector, and leaves an unaligned array as it is.
    array = np.asarray(value, dtype=dtype, order="C")
    return array if array.flags.aligned else array.copy()


def _from_dlpack(spec: TensorSpec, value: Any) -> Array:
    try:
        return np.from_dlpack(value)
    except Exception as error:  # the other library's own, of any class
        raise InputError(
            problem=f"{spec.name} is a {type(value).__name__} that numpy cannot read "
            f"({str(error).rstrip('.')}). Pass it as {spec.dtype}, on the CPU and without "
            f"gradient: {spec}."
        ) from error


def _converted(spec: TensorSpec, value: Any, dtype: np.dtype[Any]) -> Array:
    """Make an array of lists and numbers, or of another library's array, if its values fit."""
    try:
        array = np.asarray(value)
    except Exception as error:  # a ragged list's ValueError, or whatever an `__array__` raises
        raise InputError(problem=f"{spec.name} is not an array ({error}): {spec}.") from error
    # An array knows its type, whichever library made it; only a list is free to become another.
    if hasattr(value, "__array__"):
        return _as_array(spec, array)
    if isinstance(value, list | tuple) and any(map(_is_masked, value)):
        raise _masked(spec)
    if array.size and not _holds(dtype, array):
        raise InputError(
            problem=f"{spec.name} holds {array.dtype.name} values that are no {spec.dtype}, which "
            f"the model takes: {spec}."
        )
    try:
        with np.errstate(over="raise"):
            return _native(array, dtype)
    except FloatingPointError as error:
        raise InputError(
            problem=f"{spec.name} holds values that are too large for {spec.dtype}: {spec}."
        ) from error


def _holds(dtype: np.dtype[Any], array: Array) -> bool:
    """Tell whether a dtype takes in what an array holds, up to rounding of floats."""
    if array.dtype.kind not in _RANKS or _RANKS[array.dtype.kind] > _RANKS[dtype.kind]:
        return False
    if dtype.kind not in "iu":
        return True
    limits = np.iinfo(dtype)
    return int(array.min()) >= limits.min and int(array.max()) <= limits.max


def _is_masked(value: Any) -> bool:
    # numpy.ma is imported when it is first named, in 4 ms: not for an array that is no other kind.
    return (
        isinstance(value, np.ndarray)
        and type(value) is not np.ndarray
        and isinstance(value, np.ma.MaskedArray)
        and bool(np.ma.is_masked(value))
    )


def _masked(spec: TensorSpec) -> InputError:
    return InputError(
        problem=f"{spec.name} has masked elements, which a model cannot leave out; put a value in "
        f"their place with .filled(value): {spec}."
    )
