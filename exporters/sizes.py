"""The sizes and values at which an export is held against its original."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from edgekit.errors import ExportFailed
from edgekit.tensors import Array, Dim, Feed, Signature, TensorSpec

_LARGE = 17
_MAX_ELEMENTS = 4 << 20
_MANY, _LARGE_ELEMENTS = 8, 1 << 20
HALVES = "of zeros and halves"


def sizes_to_try(
    dims: Mapping[str, Dim], example: Mapping[str, int], *, elements: int
) -> tuple[list[dict[str, int]], list[str]]:
    """Choose size combinations, and say which sizes were too large to try.

    Every dimension takes the example's size, the next one (the one before, where the range ends
    with the example's), a large one, both ends of its range (the low one is 1 unless it says
    otherwise) and the two after the low one, the others staying at the example's; then all go to
    their lowest and to a large one together. `elements` is the number of elements in the
    example's inputs: a size that would take them over four million, or 64 times the example's
    where that is more, is cut down and told.
    """
    if not dims:
        return [{}], []
    cap = max(_MAX_ELEMENTS, 64 * elements)
    notes: list[str] = []
    start = {name: example[name] for name in dims}
    tried = [start]
    largest: dict[str, int] = {}
    for name, dim in dims.items():
        room = cap * example[name] // max(elements, 1)
        large = max(_LARGE, 2 * example[name] + 1)
        other = example[name] + (-1 if example[name] == dim.high else 1)
        wanted = {dim.low, dim.low + 1, dim.low + 2, other, large, dim.high or dim.low}
        allowed = {size for size in wanted if size >= dim.low and size <= (dim.high or size)}
        cut = [size for size in allowed if size > room]
        if cut:
            notes.append(
                f"{name} was verified up to {room} and not at {max(cut)}: larger inputs than "
                f"{cap:,} elements are not tried"
            )
        largest[name] = min(large, dim.high or large, room)
        tried += [{**start, name: size} for size in sorted({min(s, room) for s in allowed})]
    tried.append({name: dim.low for name, dim in dims.items()})
    if elements * math.prod(largest[n] / example[n] for n in dims) <= cap:
        tried.append(largest)
    unique = [dict(pairs) for pairs in dict.fromkeys(tuple(sizes.items()) for sizes in tried)]
    return unique, notes


def is_large(feed: Feed, example: Feed) -> bool:
    """Tell whether a feed is so much more than the example that a run of it costs seconds."""
    many = count_elements(feed) > _MANY * count_elements(example)
    return many and count_elements(feed) > _LARGE_ELEMENTS


def count_elements(feed: Feed) -> int:
    """Count the elements of all arrays."""
    return sum(array.size for array in feed.values())


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
    if like.dtype.kind in "iu":
        low, high = _whole_range(spec, like)
        whole = generator.integers(low, high, like.shape, like.dtype.type, endpoint=True)
        return np.asarray(whole, like.dtype)
    wide = like.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    lowest, highest = spec.values or (
        (finite.min().item(), finite.max().item()) if finite.size else (0.0, 1.0)
    )
    share = generator.random(like.shape)
    # Not low + share x (high - low): the difference of the largest numbers is infinite.
    values = np.asarray(lowest * (1 - share) + highest * share).astype(like.dtype)
    # Rounding to a narrower type may step over an end.
    outside = (values.astype(np.float64) < lowest) | (values.astype(np.float64) > highest)
    return np.asarray(np.where(outside, like, values))


def in_doubt(
    doubtful: Iterable[Mapping[str, int]], start: Mapping[str, int], feed: Feed, *, label: str
) -> list[dict[str, int]]:
    """Complete sizes at which an export may not be its module by those of the example.

    Raises:
        ExportFailed: a size is too large to be tried.
    """
    tried = []
    for sizes in doubtful:
        grown = math.prod(size / start[name] for name, size in sizes.items())
        if grown * count_elements(feed) > _MAX_ELEMENTS:
            raise ExportFailed(
                target=label,
                problem=f"its code may take another way at {in_words(sizes)}, which is too large "
                "to be tried",
                workaround="Ask for a narrower range.",
            )
        tried.append({**start, **sizes})
    return tried


def beyond(
    signature: Signature, feed: Feed, *, seed: int
) -> Iterator[tuple[str, dict[str, Array]]]:
    """Draw what an example doesn't show: other signs, other magnitudes, zeros and halves.

    Yields what each feed is of, and the feed. Inputs of a stated range stay within it, so that
    they have zeros and halves at most. The original need not answer any of these feeds.
    """
    generator = np.random.RandomState(seed)
    floats = [spec for spec in signature.inputs if feed[spec.name].dtype.kind not in "biu"]
    unstated = [spec.name for spec in floats if spec.values is None]
    for what, least in (("twice as far out as the example's", 0.0), ("up to ±100", 100.0)):
        reach = {name: max(2 * _largest(feed[name]), least) or 1.0 for name in unstated}
        if reach:
            yield what, {**feed, **{n: _uniform(generator, feed[n], r) for n, r in reach.items()}}
    signed = {
        spec.name: np.asarray(generator.randint(-limit, limit + 1, like.shape), like.dtype)
        for spec in signature.inputs
        if spec.values is None and (like := feed[spec.name]).dtype.kind == "i"
        for limit in (min(2 * int(_largest(like)) + 1, np.iinfo(like.dtype).max),)
    }
    if signed:
        yield "of either sign", {**feed, **signed}
    halves = {
        # + 0.0, so that no zero is a negative one.
        spec.name: np.asarray(
            np.clip(np.rint(wide) / 2 + 0.0, *(spec.values or (-1, 1))), like.dtype
        )
        for spec in floats
        for like in (feed[spec.name],)
        for wide in (generator.uniform(-2.4, 2.4, like.shape),)
    }
    if halves:
        yield HALVES, {**feed, **halves}


def _largest(array: Array) -> float:
    wide = np.abs(array.astype(np.float64))
    finite = wide[np.isfinite(wide)]
    return float(min(finite.max(), 1e6)) if finite.size else 0.0


def _uniform(generator: np.random.RandomState, like: Array, reach: float) -> Array:
    return np.asarray(generator.uniform(-reach, reach, like.shape)).astype(like.dtype)


def _whole_range(spec: TensorSpec, like: Array) -> tuple[int, int]:
    """Return the whole numbers that bound the input's range, within what its type holds."""
    if spec.values is None:
        return int(like.min()), int(like.max())
    limits = np.iinfo(like.dtype)
    return max(math.ceil(spec.values[0]), limits.min), min(math.floor(spec.values[1]), limits.max)


def in_words(sizes: Mapping[str, int]) -> str:
    """Write a size combination as `batch=1, time=40`."""
    return ", ".join(f"{name}={size}" for name, size in sizes.items()) or "the example's sizes"
