"""Hold a case against what the model takes, before anything long starts on it."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from edgekit.data.rows import fixed_batch_hint, one_row_axis, row_axes, rows
from edgekit.errors import InputError
from edgekit.tensors import Array, Case, Dim, Signature, TensorSpec, numpy_dtype

LABEL_NAMES = ("label", "labels")
_SLACK = 1e-5
"""How far outside of a stated range a value may lie, as a share of the range's larger end: what
rounding to a shorter float does."""
_ONE_LABEL = "a label is one whole number a case, the index of the right class, from 0"


class Given(msgspec.Struct, frozen=True):
    """A case as it was found: whatever stands for each input, and for the label."""

    feed: Mapping[str, Any]
    label: Any = None


def fitting(given: Given, signature: Signature) -> Iterator[Case]:
    """Turn what was found into the cases that it is: one, or one a row where each row has a label.

    Arrays of another type are taken where nothing is lost: float64 where float32 is wanted, int32
    where int64 is, and integers into a shorter type where their values fit.

    Raises:
        InputError: what is given doesn't fit, with what was expected.
    """
    # A copy of its own: a factory may fill the same array anew for each case, and some are kept.
    feed = {name: array.copy() for name, array in fitting_feed(given.feed, signature).items()}
    labels = labels_of(given.label)
    axes = row_axes(signature)
    found = max((feed[name].shape[axis] for name, axis in axes.items()), default=1)
    if given.label is not None and len(labels) != found:
        raise InputError(
            problem=f"It has {_count(len(labels), 'label')} and {_count(found, 'row')}: "
            f"{_ONE_LABEL}."
        )
    if len(labels) < 2:
        yield Case(feed, label=_class(labels[0], signature) if labels else None)
        return
    for row, label in zip(rows(feed, signature), labels, strict=True):
        _refuse_alone(signature, row)
        yield Case(row, label=_class(label, signature))


def fitting_feed(given: Mapping[str, Any], signature: Signature) -> dict[str, Array]:
    """Bring named arrays into the model's form: its types and layout, the batch axis added.

    Raises:
        InputError: a name, type or shape that doesn't fit, or a value that no model can work with.
    """
    specs = {spec.name: spec for spec in signature.inputs}
    cast = {
        name: _cast(specs[name], value) if name in specs else value for name, value in given.items()
    }
    from edgekit.runtime.inputs import check_shapes, conform  # with it comes onnxruntime

    feed = conform(signature, cast)
    for spec in signature.inputs:
        axis = one_row_axis(spec, signature)
        short = feed[spec.name].ndim == len(spec.shape) - 1
        if short and axis is not None:
            feed[spec.name] = np.expand_dims(feed[spec.name], axis)
        elif short and fixed_batch_hint(spec):
            raise InputError(
                problem=f"{spec.name} has the shape {list(feed[spec.name].shape)}, and the model "
                f"takes {spec}.{fixed_batch_hint(spec)}"
            )
    check_shapes(signature, feed)
    refuse_values(signature, feed)
    return feed


def refuse_values(signature: Signature, feed: Mapping[str, Array]) -> None:
    """Refuse NaN, infinities, and values outside of the range that the model was made for.

    Raises:
        InputError: with what there is.
    """
    for spec in signature.inputs:
        array = feed[spec.name]
        if array.dtype.kind not in "biu":
            finite = np.isfinite(array.astype(np.float32) if array.dtype.kind == "V" else array)
            if n := array.size - int(np.count_nonzero(finite)):
                raise InputError(
                    problem=f"{spec.name} is NaN or infinite in {n:,} of {array.size:,} elements; "
                    "leave such cases out, or put a value in their place."
                )
        if spec.values is not None and array.size:
            low, high = float(array.min()), float(array.max())
            slack = _SLACK * max(map(abs, spec.values))
            if low < spec.values[0] - slack or high > spec.values[1] + slack:
                raise InputError(
                    problem=f"The values of {spec.name} go from {low:g} to {high:g}, and the model "
                    f"was made for {spec.values[0]:g} to {spec.values[1]:g}: prepare them as for "
                    "training (scale, shift, the same vocabulary)."
                )


def labels_of(value: Any) -> list[Any]:
    """List the labels that something is: none, one, or one a row."""
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return list(value)
    if getattr(value, "ndim", 0):
        return list(np.asarray(value).reshape(-1)) if value.ndim == 1 else [value]
    return [value]


def whole_number(label: Any) -> int:
    """Return a label as the whole number that it is.

    Raises:
        InputError: it is none.
    """
    try:
        return operator.index(label)
    except (TypeError, ValueError, RuntimeError) as error:  # the last two are other libraries'
        shape = tuple(getattr(label, "shape", ()))
        plain = label.item() if isinstance(label, np.ndarray | np.generic) and not shape else label
        said = f"an array of shape {list(shape)}" if shape else repr(plain)
        raise InputError(
            problem=f"its label is {said}; a class is a whole number: {_ONE_LABEL}."
        ) from error


def classes_of(signature: Signature) -> int | None:
    """Count the classes that the first output scores; None where it isn't [rows, classes]."""
    if not signature.outputs or len(signature.outputs[0].shape) != 2:
        return None
    output = signature.outputs[0]
    classes = output.shape[-1]
    scores = output.dtype.startswith(("float", "bfloat")) and not output.random
    return classes if scores and not isinstance(classes, Dim) else None


def _class(label: Any, signature: Signature) -> int:
    index = whole_number(label)
    classes = classes_of(signature)
    if index < 0 or (classes is not None and index >= classes):
        there = f"and the model has the classes 0 to {classes - 1}" if classes else "and not below"
        raise InputError(problem=f"Its label is {index} {there}: {_ONE_LABEL}.")
    return index


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _refuse_alone(signature: Signature, row: Mapping[str, Array]) -> None:
    from edgekit.runtime.inputs import check_shapes

    try:
        check_shapes(signature, row)
    except InputError as error:
        raise InputError(
            problem=f"It has a label for each row, and the model takes no row alone: {error}"
        ) from error


def _cast(spec: TensorSpec, value: Any) -> Any:
    """Convert an array where nothing is lost; what can't be converted is left for `conform`."""
    if not isinstance(value, np.ndarray | np.generic):
        if not hasattr(value, "__dlpack__"):
            return value
        try:
            value = np.from_dlpack(value)
        except Exception:  # the other library's own; conform says what is wrong with it
            return value
    found, wanted = value.dtype, numpy_dtype(spec.dtype)
    if found.kind == "O":
        raise InputError(
            problem=f"{spec.name} holds Python objects and no numbers (rows of different lengths?),"
            f" and the model takes {spec}."
        )
    if found.newbyteorder("=") == wanted:
        return value
    if found.kind == "f" and wanted.kind == "f" and wanted.itemsize >= 4:
        try:
            with np.errstate(over="raise"):
                return value.astype(wanted)
        except FloatingPointError as error:
            raise InputError(
                problem=f"{spec.name} holds values that are too large for {spec.dtype}: {spec}."
            ) from error
    if found.kind in "iu" and wanted.kind in "iu":
        limits = np.iinfo(wanted)
        if not value.size or (value.min() >= limits.min and value.max() <= limits.max):
            return value.astype(wanted)
        raise InputError(
            problem=f"{spec.name} holds whole numbers from {value.min()} to {value.max()}, which "
            f"don't fit into {spec.dtype}: {spec}."
        )
    return value
