"""A variant that is fixed to sizes: what it takes, and which cases fit it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from edgekit.tensors import Array, Case, Dataset, Dim, Feed, Signature, TensorSpec, dim_sizes

_BATCH = "batch"


def fixed(signature: Signature, sizes: Mapping[str, int]) -> Signature:
    """Put sizes in the place of the dimensions that they name; without any it stays as it is."""

    def spec(one: TensorSpec) -> TensorSpec:
        shape = tuple(
            sizes[d.name] if isinstance(d, Dim) and d.name in sizes else d for d in one.shape
        )
        return msgspec.structs.replace(one, shape=shape)

    if not sizes:
        return signature
    return Signature(tuple(map(spec, signature.inputs)), tuple(map(spec, signature.outputs)))


def in_words(sizes: Mapping[str, int]) -> str:
    """Write sizes as they are typed: "batch=1, time=16"."""
    return ", ".join(f"{name}={size}" for name, size in sizes.items())


def fit(signature: Signature, feed: Feed, sizes: Mapping[str, int]) -> bool:
    """Tell whether a feed of the dynamic signature has the sizes that a variant is fixed to."""
    return sizes.items() <= dim_sizes(signature, feed).items()


def fitting(
    cases: Iterable[Case], signature: Signature, sizes: Mapping[str, int]
) -> Iterator[Case]:
    """Yield the cases that fit sizes; where only the batch differs, its rows in portions that do.

    Rows of a batch don't depend on each other, so the recorded answers are cut along with them; a
    case with fewer rows is filled up with the same ones again. It keeps its label where it has one
    row.

    Args:
        cases: of the dynamic signature.
        signature: that signature.
        sizes: what the dimensions must be, by name.
    """
    rows = sizes.get(_BATCH)
    others = {name: size for name, size in sizes.items() if name != _BATCH}
    for case in cases:
        if fit(signature, case.feed, sizes):
            yield case
        elif rows is not None and fit(signature, case.feed, others):
            yield from _portions(case, signature, rows)


def fitting_dataset(dataset: Dataset, signature: Signature, sizes: Mapping[str, int]) -> Dataset:
    """Give the cases of a dataset that fit sizes, as `fitting` does."""
    if not sizes:
        return dataset
    count = sum(1 for _ in fitting(dataset.open(), signature, sizes))
    return msgspec.structs.replace(
        dataset, cases=count, open=lambda: fitting(dataset.open(), signature, sizes)
    )


def _portions(case: Case, signature: Signature, rows: int) -> Iterator[Case]:
    import numpy as np

    had = dim_sizes(signature, case.feed)[_BATCH]
    label = case.label if rows == had == 1 else None
    if not had or not rows:
        return
    for start in range(0, had, rows):
        places = np.arange(start, start + rows) % had
        feed = _taken(case.feed, signature.inputs, places)
        outputs = case.outputs
        if outputs is not None:
            outputs = _taken(outputs, signature.outputs, places)
        yield Case(feed, outputs, label)


def _taken(arrays: Feed, specs: Iterable[TensorSpec], places: Array) -> dict[str, Array]:
    import numpy as np

    taken = dict(arrays)
    for spec in specs:
        for axis, dim in enumerate(spec.shape):
            if isinstance(dim, Dim) and dim.name == _BATCH and spec.name in taken:
                taken[spec.name] = np.take(taken[spec.name], places, axis=axis)
    return taken
