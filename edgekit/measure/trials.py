"""Run an .onnx of which nothing is known, as it is stored and as it will be run, and compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from edgekit.data.made_up import made_up
from edgekit.data.rows import batch_dim
from edgekit.errors import EdgekitError, ModelFileError
from edgekit.measure.quality import furthest
from edgekit.measure.ways import How, variant_call
from edgekit.metrics import Closeness, closeness, largest, within
from edgekit.package.values import OutputCloseness, SessionChoice, Tolerance
from edgekit.tensors import Array, Case, Signature, dim_sizes, dynamic_dims
from edgekit.workers import Worker

DRAWS = 2
RELATIVE = 1e-3
_BATCHES = (1, 2, 5)
_OTHER_SIZES = (2, 5, 16, 32, 224)
"""Sizes for dimensions that aren't the batch: short ones, and what images usually have."""
_ENOUGH_SIZES = 3

_SHARES = {"fp16": 1e-2, "bf16": 5e-2, "int8": 5e-2}
_FULL_PRECISION_SHARE = 1e-5


class Trials(msgspec.Struct, frozen=True):
    """What the runs gave: the cases, how far optimizing took the answers, and where it failed."""

    signature: Signature
    cases: list[Case]
    closeness: tuple[OutputCloseness, ...]
    sizes: tuple[dict[str, int], ...]
    refusals: tuple[str, ...]


def share_of_largest(precision: str) -> float:
    """Tell how far optimizations may take an answer, as a share of the output's largest value.

    Rearranged float32 sums differ in their last bits. With fewer bits a fusion skips roundings
    that the graph as it is stored does, which moves values by whole steps; those shares are not
    derived, and only tell a changed answer from a rounded one.
    """
    return _SHARES.get(precision, _FULL_PRECISION_SHARE)


def rule(precision: str) -> str:
    """Write the bound in words."""
    return (
        f"|optimized by ONNX Runtime - as stored| <= {share_of_largest(precision):g} x largest "
        f"value + {RELATIVE:g} x |as stored|, on made-up values"
    )


def run_trials(model: Path, precision: str, *, name: str, wall_s: float) -> Trials:
    """Run the file without optimizations and with all of them, at several sizes.

    Args:
        model: the .onnx file, its external data beside it.
        precision: what its weights are, which says how much rounding is to be expected.
        name: what the file is called in errors.
        wall_s: how long a single run may take.

    Raises:
        ModelFileError: ONNX Runtime refuses it, it answers otherwise from call to call or when it
            is optimized, or it can be run at no size that was tried.
    """
    share = share_of_largest(precision)
    cases: list[Case] = []
    sizes: list[dict[str, int]] = []
    refusals: list[str] = []
    compared: dict[str, _Compared] = {}
    with Worker(name, wall_s=wall_s) as stored, Worker(name, wall_s=wall_s) as optimized:
        as_stored = How(SessionChoice(graph_level="disabled"))
        signature = stored.open(variant_call(model, "portable", as_stored)).signature
        optimized.open(variant_call(model, "portable", How()))
        for tried in _sizes_to_try(signature):
            if len(sizes) == _ENOUGH_SIZES:
                break
            for draw in range(DRAWS):
                feed = made_up(signature, sizes=tried, seed=draw)
                try:
                    expected = stored.run(feed).outputs
                except EdgekitError as error:
                    refusals.append(f"{_in_words(tried)}: {error}")
                    break
                again = stored.run(feed).outputs
                got = optimized.run(feed).outputs
                for output, array in expected.items():
                    one = compared.setdefault(output, _Compared(output, name, share))
                    one.refuse_random(again[output], array)
                    one.add(got[output], array)
                cases.append(Case(feed, expected))
            else:
                sizes.append(dim_sizes(signature, feed))
    if not cases:
        raise ModelFileError(
            path=name, problem=f"it could not be run on made-up values at {refusals[0]}"
        )
    return Trials(
        signature=signature,
        cases=cases,
        closeness=tuple(one.result() for one in compared.values()),
        sizes=tuple(sizes),
        refusals=tuple(refusals),
    )


class _Compared:
    """One output, compared over all sizes and draws."""

    def __init__(self, output: str, model: str, share: float) -> None:
        self._output = output
        self._model = model
        self._share = share
        self._allowed = 0.0
        self._furthest: Closeness | None = None

    def refuse_random(self, again: Array, first: Array) -> None:
        # Within the tolerance: threads may add up in another order.
        if again.shape != first.shape or self._off(again, first):
            raise ModelFileError(
                path=self._model,
                problem=f"its output {self._output} differs from call to call, so nothing can be "
                "held against it",
            )

    def add(self, got: Array, stored: Array) -> None:
        off = self._off(got, stored)
        if off:
            raise ModelFileError(
                path=self._model,
                problem=f"ONNX Runtime's optimizations change the answer of {self._output}: {off}",
            )
        self._allowed = max(self._allowed, self._bound(stored))
        self._furthest = furthest(closeness(got, stored), self._furthest)

    def result(self) -> OutputCloseness:
        assert self._furthest is not None
        return OutputCloseness(
            output=self._output,
            max_abs_error=self._furthest.max_abs_error,
            max_rel_error=self._furthest.max_rel_error,
            cosine=self._furthest.cosine,
            sqnr_db=self._furthest.sqnr_db,
            tolerance=Tolerance(self._allowed, RELATIVE),
        )

    def _off(self, got: Array, stored: Array) -> str:
        off = within(got, stored, absolute=self._bound(stored), relative=RELATIVE)
        return "" if off is None else str(off)

    def _bound(self, stored: Array) -> float:
        return self._share * largest(stored)


def _sizes_to_try(signature: Signature) -> Iterator[dict[str, int]]:
    """Yield size combinations: the batch in short steps, all other dimensions through theirs."""
    dims = dynamic_dims(signature)
    batch = batch_dim(signature)
    others = [name for name in dims if name != batch]
    if not dims:
        yield {}
    elif not others:
        yield from (dict.fromkeys(dims, size) for size in _BATCHES)
    else:
        for index, other in enumerate(_OTHER_SIZES):
            rows = {batch: _BATCHES[index % len(_BATCHES)]} if batch is not None else {}
            yield {**rows, **dict.fromkeys(others, other)}


def _in_words(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={size}" for name, size in sizes.items()) or "its fixed sizes"
