"""The sizes and values at which an export is held against its original."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from edgekit.tensors import Array, Dim, Feed, Signature, TensorSpec

_LARGE = 17
_MAX_ELEMENTS = 4 << 20


def sizes_to_try(
    dims: Mapping[str, Dim], example: Mapping[str, int], *, elements: int
) -> tuple[list[dict[str, int]], list[str]]:
    """Choose size combinations, and say which ends of a range were too large to try.

    Every dimension takes 1, the example's size, the next one, a large one, and both ends of its
    range, the others staying at the example's; then all go to their lowest and to a large one
    together. `elements` is the number of elements in the example's inputs: combinations of over
    four million elements, or 64 times the example's where that is more, are cut down and told.
    """
    if not dims:
        return [{}], []
    cap = max(_MAX_ELEMENTS, 64 * elements)
    notes: list[str] = []
    start = {name: example[name] for name in dims}
    tried = [start]
    largest: dict[str, int] = {}
    for name, dim in dims.items():
        room = max(example[name], cap * example[name] // max(elements, 1))
        high = room if dim.high is None else dim.high
        if dim.high is not None and dim.high > room:
            notes.append(
                f"{name} was verified up to {room} of {dim.high}: larger is too large here"
            )
        top = min(high, room)
        large = min(max(_LARGE, 2 * example[name] + 1), top)
        ends = [dim.low, top] if dim.high is not None else [dim.low]
        sizes = {1, example[name] + 1, large, *ends}
        largest[name] = large
        tried += [{**start, name: size} for size in sorted(sizes) if dim.low <= size <= top]
    tried.append({name: dim.low for name, dim in dims.items()})
    if elements * math.prod(largest[n] / example[n] for n in dims) <= cap:
        tried.append(largest)
    unique = [dict(pairs) for pairs in dict.fromkeys(tuple(sizes.items()) for sizes in tried)]
    return unique, notes


def drawn(signature: Signature, feed: Feed, *, seed: int) -> dict[str, Array]:
    """Draw values of the feed's shapes, uniformly within each input's range.

    The range is the one that the signature gives, else that of the values in `feed`. Integers
    stay within it, so that an index into a table stays one.
    """
    generator = np.random.default_rng(seed)
    return {spec.name: _drawn(spec, feed[spec.name], generator) for spec in signature.inputs}


def _drawn(spec: TensorSpec, like: Array, generator: np.random.Generator) -> Array:
    if like.dtype == np.bool_:
        return np.asarray(generator.random(like.shape) < 0.5)
    if like.size == 0:
        return like
    wide = like.astype(np.float64) if like.dtype.kind not in "iu" else like
    finite = wide[np.isfinite(wide)]
    low, high = spec.values or (
        (finite.min().item(), finite.max().item()) if finite.size else (0.0, 1.0)
    )
    if like.dtype.kind in "iu":
        whole = generator.integers(int(low), int(high), size=like.shape, endpoint=True)
        return np.asarray(whole, like.dtype)
    return np.asarray(low + (high - low) * generator.random(like.shape), like.dtype)


def in_words(sizes: Mapping[str, int]) -> str:
    """Write a size combination as `batch=1, time=40`."""
    return ", ".join(f"{name}={size}" for name, size in sizes.items()) or "the example's sizes"
