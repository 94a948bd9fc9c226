"""What goes into a model while it is timed: an example, brought to the asked batch."""

from __future__ import annotations

from edgekit.data.rows import batch_dim, fixed_batch
from edgekit.errors import BadValue
from edgekit.tensors import Array, Feed, Signature, dim_sizes, dynamic_dims, resize


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
