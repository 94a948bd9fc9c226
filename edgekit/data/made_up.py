"""Values drawn at random, where nothing real is known: marked as synthetic wherever they go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from edgekit.data.rows import batch_dim
from edgekit.package.cases import content_sha256_of_all
from edgekit.tensors import (
    Array,
    Case,
    Dataset,
    Dim,
    Feed,
    Signature,
    TensorSpec,
    dim_sizes,
    dynamic_dims,
    numpy_dtype,
)
from edgekit.terms import Split

NAME = "made-up cases"
_SPREAD = 32
"""How far above its lowest a size goes where its range is wider than that, or open."""


def made_up(
    signature: Signature, *, sizes: Mapping[str, int] | None = None, seed: int = 0
) -> dict[str, Array]:
    """Draw values for inputs of which nothing is known: floats in [0, 1), integers 0 or 1.

    Where the signature gives a range of values they lie in that. A dynamic dimension that `sizes`
    doesn't name gets 1, or the lowest that its range allows.
    """
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


def synthetic(
    signature: Signature,
    *,
    cases: int = 32,
    seed: int = 0,
    like: Sequence[Feed] = (),
    split: Split = "train",
) -> Dataset:
    """Make a dataset of made-up cases, marked as synthetic; the same seed gives the same cases.

    Sizes of dynamic dimensions vary from case to case within their ranges: the batch has the fewest
    rows that the model takes, any other lies between its lowest and 32 more. A range says what a
    model was made for and not what every part of it bears: where feeds are known to run, `like`
    them is safer.

    Args:
        signature: what the model takes, with the ranges of its values where they are known.
        cases: how many.
        seed: of the random numbers.
        like: feeds whose sizes are taken in turn.
        split: which side the cases are to stand for.
    """

    def draw() -> Iterator[Case]:
        generator = np.random.default_rng(seed)
        for index in range(cases):
            if like:
                sizes = dim_sizes(signature, like[index % len(like)])
            else:
                sizes = _sizes(signature, generator)
            yield Case(made_up(signature, sizes=sizes, seed=_seed(seed, index)))

    return Dataset(
        name=NAME,
        split=split,
        sha256=content_sha256_of_all(draw()),
        cases=cases,
        open=draw,
        synthetic=True,
    )


def _sizes(signature: Signature, generator: np.random.Generator) -> dict[str, int]:
    batch = batch_dim(signature)
    sizes: dict[str, int] = {}
    for name, dim in dynamic_dims(signature).items():
        low = max(dim.low, 1)
        high = low + _SPREAD if dim.high is None else min(dim.high, low + _SPREAD)
        sizes[name] = low if name == batch else int(generator.integers(low, high, endpoint=True))
    return sizes


def _seed(seed: int, index: int) -> int:
    """Give each case a seed of its own, which no case of a neighbouring seed has."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0])
