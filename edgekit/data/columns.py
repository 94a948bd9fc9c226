"""Cases in Parquet: a column an input, a row a case. Nothing else of edgekit needs pyarrow here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from edgekit.data.checking import LABEL_NAMES, Given
from edgekit.data.rows import one_row_axis
from edgekit.errors import BadValue, InputError, UnknownName
from edgekit.tensors import Array, Dim, Signature, TensorSpec

_ROWS_AT_ONCE = 16


def parquet_rows(paths: Sequence[Path], signature: Signature) -> Iterator[Given]:
    """Yield the cases of Parquet files, one file after the other, a few rows in memory at a time.

    A number is a column of numbers. An array is a column of lists: nested as its axes are, or flat,
    in C order, where its shape follows from the input's. Columns that are no input and not the
    label aren't read.

    Raises:
        BadValue: a file can't be read.
        UnknownName: an input has no column.
        InputError: a column has empty places, or lists that are no arrays.
    """
    for path in paths:
        with _readable(path), pq.ParquetFile(path, memory_map=True) as file:
            columns = _columns(file.schema_arrow.names, signature, path)
            label = next((name for name in columns if name not in _inputs(signature)), None)
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns):
                for row in range(batch.num_rows):
                    feed = {
                        spec.name: _array(batch.column(spec.name)[row], spec, signature)
                        for spec in signature.inputs
                    }
                    yield Given(feed, None if label is None else batch.column(label)[row].as_py())


def _inputs(signature: Signature) -> list[str]:
    return [spec.name for spec in signature.inputs]


def _columns(found: Sequence[str], signature: Signature, path: Path) -> list[str]:
    for name in _inputs(signature):
        if name not in found:
            raise UnknownName(
                kind="column",
                of=f"in {path}, for the input of that name",
                asked=name,
                available=list(found),
            )
    labels = [name for name in LABEL_NAMES if name in found and name not in _inputs(signature)]
    wanted = [*_inputs(signature), *labels[:1]]
    for name in wanted:
        if found.count(name) > 1:
            raise BadValue(
                what=str(path),
                asked=f"read ({found.count(name)} of its columns are called {name})",
                expected="one column of each name",
            )
    return wanted


def _array(value: Any, spec: TensorSpec, signature: Signature) -> Array:
    if not value.is_valid:
        raise InputError(problem=f"{spec.name} has no value there.")
    if isinstance(value, pa.FixedShapeTensorScalar):  # its shape is its type's
        array, _ = _flat(value.value, spec)
        array = array.reshape(value.type.shape)
        axes = value.type.permutation  # that of the stored axes which makes the tensor's
        return array if axes is None else array.transpose(axes)
    if isinstance(value, pa.ExtensionScalar):
        value = value.value
    if not isinstance(value, pa.ListScalar):
        _refuse_no_numbers(value.type, spec)
        return np.asarray(value.as_py())
    array, shape = _flat(value, spec)
    return array.reshape(shape if len(shape) > 1 else _shape_of(array.size, spec, signature))


def _flat(value: Any, spec: TensorSpec) -> tuple[Array, list[int]]:
    """Return all elements of nested lists, and how long the lists of each level are."""
    values = value.values
    shape = [len(values)]
    while pa.types.is_nested(values.type) and not pa.types.is_struct(values.type):
        lengths = set(values.value_lengths().to_pylist())
        if len(lengths) > 1 or None in lengths:
            raise InputError(
                problem=f"{spec.name} has lists of different lengths in one case, which are no "
                f"array: {spec}."
            )
        shape.append(lengths.pop() if lengths else 0)
        values = values.flatten()
    _refuse_no_numbers(values.type, spec)
    if n := values.null_count:
        places = "1 empty place" if n == 1 else f"{n} empty places"
        raise InputError(problem=f"{spec.name} has {places}.")
    return values.to_numpy(zero_copy_only=False), shape


def _refuse_no_numbers(found: Any, spec: TensorSpec) -> None:
    held = found.value_type if pa.types.is_dictionary(found) else found
    if pa.types.is_null(held):
        return  # nothing is there at all, which is told as such
    if not (pa.types.is_integer(held) or pa.types.is_floating(held) or pa.types.is_boolean(held)):
        raise InputError(
            problem=f"{spec.name} is a column of {held}, and the model takes {spec}: write whole "
            "numbers, floats or booleans."
        )


def _shape_of(size: int, spec: TensorSpec, signature: Signature) -> list[int]:
    """Find the one shape of an input that holds so many elements, the batch left at one row."""
    axis = one_row_axis(spec, signature)
    if len(spec.shape) == 1 and axis is None:
        return [size]
    shape = [1 if i == axis else -1 if isinstance(d, Dim) else d for i, d in enumerate(spec.shape)]
    known = int(np.prod([d for d in shape if d > 0], dtype=np.int64))
    if shape.count(-1) > 1:
        raise InputError(
            problem=f"{spec.name} is a flat list, and several sizes of {spec} are open: nest the "
            "lists as the axes are."
        )
    if known == 0 or size % known or (-1 not in shape and size != known):
        raise InputError(problem=f"{spec.name} has {size:,} values, and each case is {spec}.")
    return [size // known if d == -1 else d for d in shape]


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError:  # a ValueError too
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        said = " ".join(str(error).split())[:200].rstrip(".")
        raise BadValue(
            what=str(path), asked=f"read ({said})", expected="a Parquet file that is whole"
        ) from error
