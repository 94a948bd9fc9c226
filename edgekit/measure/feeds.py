"""What goes into a model while it is timed: real values where there are any, made-up ones else."""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.errors import BadValue
from edgekit.tensors import (
    Array,
    Dim,
    Feed,
    Signature,
    TensorSpec,
    dim_sizes,
    dynamic_dims,
    numpy_dtype,
    resize,
)


def batch_dim(signature: Signature) -> str | None:
    """Name the dimension that counts the rows of a batch, None where it is fixed.

    It is the one called "batch", else the leading one of the first input.
    """
    if "batch" in dynamic_dims(signature):
        return "batch"
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


def timing_feed(
    signature: Signature, example: Feed, *, batch: int | None
) -> tuple[dict[str, Array], dict[str, int], int]:
    """Bring an example to the asked batch.

    Args:
        signature: what the model takes.
        example: values for all inputs, whose other sizes stay as they are.
        batch: the rows; None for 1, or the fewest that the model takes.

    Returns:
        The feed, the size of every named dimension in it, and how many rows it has.

    Raises:
        BadValue: a batch that the model doesn't take.
    """
    name = batch_dim(signature)
    if name is None:
        fixed = fixed_batch(signature)
        if batch is not None and batch != fixed:
            raise BadValue(
                what="the batch",
                asked=str(batch),
                expected=f"{fixed}: the model was made with a fixed batch; export it again with "
                "--dynamic to change that",
            )
        feed = resize(signature, example, {})
        return feed, dim_sizes(signature, feed), fixed
    rows = batch if batch is not None else max(dynamic_dims(signature)[name].low, 1)
    feed = resize(signature, example, {name: rows})
    return feed, dim_sizes(signature, feed), rows


def made_up(
    signature: Signature, *, sizes: Mapping[str, int] | None = None, seed: int = 0
) -> dict[str, Array]:
    """Draw values for inputs of which nothing is known: floats in [0, 1), integers 0 or 1.

    Where the signature gives a range of values they lie in that. A dynamic dimension that `sizes`
    doesn't name gets 1, or the lowest that its range allows.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    asked = dict(sizes or {})

    def draw(spec: TensorSpec) -> Array:
        shape = [asked.get(d.name, max(d.low, 1)) if isinstance(d, Dim) else d for d in spec.shape]
        dtype = numpy_dtype(spec.dtype)
        if dtype.kind in "biu":
            low, high = spec.values or (0, 1)
            return np.asarray(generator.integers(int(low), int(high), shape, endpoint=True)).astype(
                dtype
            )
        low, high = spec.values or (0.0, 1.0)
        return np.asarray(low + generator.random(shape) * (high - low)).astype(dtype)

    return {spec.name: draw(spec) for spec in signature.inputs}
