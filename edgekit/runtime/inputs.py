"""Hold what is fed against what the model takes, before ONNX Runtime can misread it.

ONNX Runtime answers a big-endian array with NaN or zeros and says nothing, so an array is passed
on untouched only if its dtype is the very one expected.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.errors import InputError
from edgekit.tensors import Array, Dim, Feed, Signature, TensorSpec


def numpy_dtype(spec: TensorSpec) -> np.dtype[Any]:
    """Return the native numpy dtype of a tensor; bfloat16 needs `ml_dtypes` imported."""
    if spec.dtype == "bfloat16":
        # Registers the type's name with numpy.
        import ml_dtypes  # noqa: F401
    return np.dtype(spec.dtype)


def checked(signature: Signature, feed: Feed) -> dict[str, Array]:
    """Return `feed` as contiguous arrays of the expected types, in the signature's order.

    Lists and numbers are converted; arrays in another memory layout or byte order are copied;
    an array of another type is refused, because a cast can lose what it holds.

    Raises:
        InputError: a name, dtype, rank or size that doesn't fit, with what was expected.
    """
    expected = [spec.name for spec in signature.inputs]
    for name in feed:
        if name not in expected:
            raise InputError(problem=f"There is no input {name!r}; expected: {_all(signature)}.")
    for name in expected:
        if name not in feed:
            raise InputError(problem=f"The input {name!r} is missing; expected: {_all(signature)}.")
    arrays = {spec.name: _as_array(spec, feed[spec.name]) for spec in signature.inputs}
    sizes: dict[str, tuple[int, str]] = {}
    for spec in signature.inputs:
        _check_shape(spec, arrays[spec.name], sizes)
    return arrays


def _as_array(spec: TensorSpec, value: Any) -> Array:
    dtype = numpy_dtype(spec)
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        if array.dtype.newbyteorder("=") != dtype:
            raise InputError(
                problem=f"{spec.name} has dtype {array.dtype.name} and the model takes "
                f"{spec.dtype}: {spec}. Convert it with .astype({spec.dtype!r})."
            )
        return _contiguous(array, dtype)
    if hasattr(value, "__dlpack__"):
        return _as_array(spec, _from_dlpack(spec, value))
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(problem=f"{spec.name} is not an array ({error}): {spec}.") from error
    if array.size and not np.can_cast(array.dtype, dtype, "same_kind"):
        raise InputError(
            problem=f"{spec.name} holds {array.dtype.name} values and the model takes "
            f"{spec.dtype}: {spec}."
        )
    return _contiguous(array, dtype)


def _contiguous(array: Array, dtype: np.dtype[Any]) -> Array:
    # ascontiguousarray would turn a scalar into a vector
    return np.asarray(array, dtype=dtype, order="C")


def _from_dlpack(spec: TensorSpec, value: Any) -> Array:
    try:
        return np.from_dlpack(value)
    except (BufferError, RuntimeError, TypeError) as error:
        raise InputError(
            problem=f"{spec.name} is a {type(value).__name__} that numpy cannot read ({error}). "
            "Bring it to the CPU, without gradient, first."
        ) from error


def _check_shape(spec: TensorSpec, array: Array, sizes: dict[str, tuple[int, str]]) -> None:
    got = list(array.shape)
    if len(got) != len(spec.shape):
        raise InputError(
            problem=f"{spec.name} has {len(got)} dimensions {got} and the model takes "
            f"{len(spec.shape)}: {spec}."
        )
    for axis, (size, dim) in enumerate(zip(got, spec.shape, strict=True)):
        if isinstance(dim, Dim):
            _check_dim(spec, axis, size, dim, sizes)
        elif size != dim:
            raise InputError(
                problem=f"Axis {axis} of {spec.name} has size {size} and the model takes {dim}: "
                f"{spec}."
            )


def _check_dim(
    spec: TensorSpec, axis: int, size: int, dim: Dim, sizes: dict[str, tuple[int, str]]
) -> None:
    if size < dim.low or (dim.high is not None and size > dim.high):
        raise InputError(
            problem=f"Axis {axis} of {spec.name} has size {size} and the model takes {dim}: {spec}."
        )
    seen, where = sizes.setdefault(dim.name, (size, spec.name))
    if seen != size:
        raise InputError(
            problem=f"The dimension {dim.name} is {size} in {spec.name} and {seen} in {where}; "
            f"it must be the same: {_all(Signature((spec,), ()))}."
        )


def _all(signature: Signature) -> str:
    return "; ".join(str(spec) for spec in signature.inputs)
