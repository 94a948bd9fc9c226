"""Which axis counts the rows of a batch, and what each row holds, as a hash."""

from __future__ import annotations

from collections.abc import Iterator

from edgekit.errors import InputError
from edgekit.package.cases import content_sha256
from edgekit.tensors import Array, Dim, Feed, Signature, TensorSpec, dynamic_dims

HASH_DIGITS = 16
"""Hexadecimal digits of a row's SHA-256 that are kept: two rows of a million agree by chance with a
probability of 3e-8."""

_BATCH = "batch"
_SEQUENCES = ("time", "seq", "len", "step", "frame", "token", "sample")
"""Parts of what people call an axis along which one example goes on."""


def batch_dim(signature: Signature) -> str | None:
    """Name the dimension that counts the rows of a batch, None where it is fixed.

    It is the one called "batch", else the leading one of the first input.
    """
    if _BATCH in dynamic_dims(signature):
        return _BATCH
    shape = signature.inputs[0].shape if signature.inputs else ()
    return shape[0].name if shape and isinstance(shape[0], Dim) else None


def fixed_batch(signature: Signature) -> int:
    """Count the rows of a model with a fixed batch: the leading size that all its tensors share.

    1 where they share none: then a call is one row.
    """
    leading = {
        spec.shape[0] if spec.shape else None for spec in (*signature.inputs, *signature.outputs)
    }
    size = leading.pop() if len(leading) == 1 else None
    return size if isinstance(size, int) else 1


def row_axes(signature: Signature) -> dict[str, int]:
    """Tell along which axis of each input the rows of a batch lie; empty where a case is one row.

    Stricter than `batch_dim`, which only names what a bench may change: a leading axis that is one
    example's own (the time steps of a recording) must not be taken for a batch, since two examples
    may well share a step. So an axis that isn't called "batch" counts rows only where every output
    has a dynamic leading axis too, some input has more axes than that, and its name doesn't say
    that it is a sequence's.
    """
    name = _BATCH if _BATCH in dynamic_dims(signature) else _leading(signature)
    if name is not None:
        return {
            spec.name: axis
            for spec in signature.inputs
            for axis, size in enumerate(spec.shape)
            if isinstance(size, Dim) and size.name == name
        }
    several = (
        fixed_batch(signature) > 1
        and bool(signature.outputs)
        and all(len(spec.shape) > 1 for spec in signature.inputs)
    )
    return dict.fromkeys((spec.name for spec in signature.inputs), 0) if several else {}


def one_row_axis(spec: TensorSpec, signature: Signature) -> int | None:
    """Tell which axis of an input may be left out where a case has one row; None where none may.

    It is the one that counts the rows, or a leading axis that is fixed to 1.
    """
    axis = row_axes(signature).get(spec.name)
    if axis is not None and isinstance(spec.shape[axis], Dim):
        return axis
    return 0 if spec.shape and spec.shape[0] == 1 else None


def fixed_batch_hint(spec: TensorSpec) -> str:
    """Say what to do where one row is given to an input whose leading axis is fixed to several."""
    size = spec.shape[0] if spec.shape else 1
    if isinstance(size, Dim) or size == 1:
        return ""
    return (
        f" If its first axis is a batch, the model was made for {size} rows a call: give {size} a "
        "case, or export it again with --dynamic."
    )


def row_hashes(feed: Feed, signature: Signature) -> tuple[str, ...]:
    """Hash every row of a feed: the first 16 hex digits of the SHA-256 over what goes in.

    A row is what lies at one place of the batch axis, in all inputs together, with that axis kept
    at size 1; inputs without it are part of each row. So the same example has one hash, alone or in
    a batch of any size. A model without a batch axis has one row a case.

    Args:
        feed: arrays by input name, in the model's types and shapes.
        signature: what the model takes.

    Raises:
        InputError: the inputs have different numbers of rows.
    """
    return tuple(content_sha256(row)[:HASH_DIGITS] for row in rows(feed, signature))


def rows(feed: Feed, signature: Signature) -> Iterator[dict[str, Array]]:
    """Yield every row of a feed as a feed of its own, the batch axis kept at size 1.

    Raises:
        InputError: the inputs have different numbers of rows.
    """
    axes = row_axes(signature)
    if not axes:
        yield dict(feed)
        return
    counts = {feed[name].shape[axis] for name, axis in axes.items()}
    if len(counts) > 1:
        found = ", ".join(f"{feed[name].shape[axis]} of {name}" for name, axis in axes.items())
        raise InputError(problem=f"The inputs have different numbers of rows: {found}.")
    for index in range(counts.pop()):
        yield {
            name: array[(slice(None),) * axes[name] + (slice(index, index + 1),)]
            if name in axes
            else array
            for name, array in feed.items()
        }


def _leading(signature: Signature) -> str | None:
    name = batch_dim(signature)
    if name is None or any(part in name.lower() for part in _SEQUENCES):
        return None
    goes_through = all(spec.shape and isinstance(spec.shape[0], Dim) for spec in signature.outputs)
    return name if goes_through and any(len(s.shape) > 1 for s in signature.inputs) else None
