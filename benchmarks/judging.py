"""Hold an exported model against its PyTorch original, by other means than the exporter's own.

Plain ONNX Runtime runs it at sizes that verification did not use, on other values, and the answers
are compared with the module's in double precision. An output is right if its largest error is at
most ten times the original's own, or ten times eight units in the last place of its largest value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from benchmarks.coverage_values import Sizes
from edgekit.tensors import Array, Dim

if TYPE_CHECKING:
    from exporters.original import Original

Shapes = Mapping[str, tuple[int | Dim, ...]]

COMBINATIONS = 3
DRAWS = 400
FACTOR = 10.0
UNITS = 8.0
WITHOUT_DOUBLE = 1e-4
"""The share of an output's largest value that an error may be where no double answer exists."""


class Judgement(msgspec.Struct, frozen=True):
    """How far answers are from the original's. `problem` is empty where they are right."""

    max_abs_error: float | None
    times_own: float | None
    sizes: list[Sizes]
    problem: str


def judge(
    original: Original, model: Path, shapes: Shapes, *, verified: Iterable[Mapping[str, int]] = ()
) -> Judgement:
    """Hold a model against its original at a few sizes that are not among the `verified` ones.

    Args:
        original: the module and how it is called.
        model: the .onnx file; its inputs have the original's names.
        shapes: the shape of each input, with `Dim` where it is dynamic.
        verified: size combinations to stay away from.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own, none of which it exports
        return Judgement(None, None, [], f"does not load: {in_one_line(error)}")
    example = {name: tensor.numpy() for name, tensor in original.example.items()}
    taken = [value.name for value in session.get_inputs()]
    double = original.in_double()
    held = _Held()
    for index, sizes in enumerate(unseen(shapes, example, verified)):
        feed = feed_at(example, shapes, sizes, np.random.default_rng(1000 + index))
        try:
            expected = _answers(original, feed)
        except Exception:  # not meant for that size: an original may raise anything
            continue
        where = ", ".join(f"{name}={size}" for name, size in sizes.items()) or "the fixed sizes"
        try:
            got = session.run(None, {name: feed[name] for name in taken})
        except Exception as error:
            return held.result(f"fails at {where}: {in_one_line(error)}")
        problem = held.add(expected, _in_double(double, feed), got, where=where)
        held.sizes.append(sizes)
        if problem:
            return held.result(problem)
    if not held.sizes:
        raise RuntimeError("the original itself runs at none of the sizes that were tried")
    return held.result("")


class _Held:
    """The largest errors so far, and the sizes at which they were looked for."""

    def __init__(self) -> None:
        self.sizes: list[Sizes] = []
        self._error = 0.0
        self._times_own = 0.0

    def add(
        self,
        expected: Mapping[str, Array],
        exact: Mapping[str, Array],
        got: list[Array],
        *,
        where: str,
    ) -> str:
        """Compare one answer; return what is wrong with it, or nothing."""
        if len(got) != len(expected):
            return f"{len(got)} outputs at {where}, and the original has {len(expected)}"
        for (output, wanted), answer in zip(expected.items(), got, strict=True):
            if answer.shape != wanted.shape or answer.dtype != wanted.dtype:
                return (
                    f"{output} at {where} is {answer.dtype.name} {list(answer.shape)}, and the "
                    f"original's is {wanted.dtype.name} {list(wanted.shape)}"
                )
            error, own, allowed = distance(wanted, exact.get(output), answer)
            self._error = max(self._error, error)
            if own:
                self._times_own = max(self._times_own, error / own)
            if not error <= allowed:
                return f"{output} at {where} is off by {error:.3g} (allowed: {allowed:.3g})"
        return ""

    def result(self, problem: str) -> Judgement:
        return Judgement(self._error, self._times_own, self.sizes, problem)


def distance(wanted: Array, exact: Array | None, answer: Array) -> tuple[float, float, float]:
    """Return the largest error of an answer, the original's own, and what is allowed.

    Where there is an `exact` answer, in double, both errors are from it; else the error is from
    the original's answer and its own is 0. Infinite and NaN elements must be the same.
    """
    finite = np.isfinite(wanted) & np.isfinite(answer)
    if not np.array_equal(wanted[~finite], answer[~finite], equal_nan=wanted.dtype.kind == "f"):
        return float("inf"), 0.0, 0.0
    wide = np.where(finite, wanted, 0).astype(np.float64)
    given = np.where(finite, answer, 0).astype(np.float64)
    largest = float(np.max(np.abs(wide), initial=0.0))
    if wanted.dtype.kind in "biu":
        return float(np.max(np.abs(given - wide), initial=0.0)), 0.0, 0.0
    if exact is None or exact.shape != wanted.shape:
        error = float(np.max(np.abs(given - wide), initial=0.0))
        return error, 0.0, WITHOUT_DOUBLE * largest
    precise = np.where(finite & np.isfinite(exact), exact, wide)
    error = float(np.max(np.abs(given - precise), initial=0.0))
    own = max(
        float(np.max(np.abs(wide - precise), initial=0.0)),
        UNITS * float(np.finfo(wanted.dtype).eps) * largest,
    )
    return error, own, FACTOR * own


def unseen(
    shapes: Shapes, example: Mapping[str, Array], verified: Iterable[Mapping[str, int]] = ()
) -> list[Sizes]:
    """Choose size combinations of the dynamic dimensions that are not among the `verified` ones.

    The smallest sizes come first; others are drawn from sizes up to twice the example's, or from
    larger ones where those are used up. Returns `COMBINATIONS` of them, or as many as were found;
    one without any size where nothing is dynamic.
    """
    dims: dict[str, tuple[Dim, int]] = {}
    for name, shape in shapes.items():
        for axis, dim in enumerate(shape):
            if isinstance(dim, Dim):
                dims.setdefault(dim.name, (dim, example[name].shape[axis]))
    if not dims:
        return [{}]
    seen = [dict(sizes) for sizes in verified]
    rng = np.random.default_rng(0)
    chosen: list[Sizes] = []
    for draw in range(DRAWS):
        # Further and further from the example's sizes.
        further = 2 + draw // 100
        sizes = {
            name: int(rng.integers(*_ends(dim, further * size), endpoint=True)) if draw else dim.low
            for name, (dim, size) in dims.items()
        }
        if sizes not in seen:
            seen.append(sizes)
            chosen.append(sizes)
        if len(chosen) == COMBINATIONS:
            break
    return chosen


def _ends(dim: Dim, high: int) -> tuple[int, int]:
    return dim.low, max(dim.low, high if dim.high is None else min(high, dim.high))


def feed_at(
    example: Mapping[str, Array], shapes: Shapes, sizes: Mapping[str, int], rng: np.random.Generator
) -> dict[str, Array]:
    """Draw inputs of the given sizes like the example's: floats of its mean and deviation, whole
    numbers of its range; an input of ones and zeros is a mask whose last row ends in padding.
    """
    feed = {}
    for name, like in example.items():
        shape = tuple(sizes[d.name] if isinstance(d, Dim) else d for d in shapes[name])
        feed[name] = _drawn(like, shape, rng)
    return feed


def _drawn(like: Array, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    if like.dtype.kind == "f":
        values = rng.normal(float(like.mean()), float(like.std()), shape)
        return np.clip(values, like.min(), like.max()).astype(like.dtype)
    low, high = int(like.min()), int(like.max())
    if (low, high) in ((0, 1), (1, 1)):
        mask = np.ones(shape, like.dtype)
        if len(shape) > 1 and shape[0] > 1:
            mask[-1, shape[1] - shape[1] // 3 :] = 0
        return mask
    return rng.integers(low, high, shape, endpoint=True).astype(like.dtype)


def _answers(original: Original, feed: Mapping[str, Array]) -> dict[str, Array]:
    import torch

    answers = original({name: torch.from_numpy(array.copy()) for name, array in feed.items()})
    return {name: tensor.numpy() for name, tensor in answers.items()}


def _in_double(double: Original | None, feed: Mapping[str, Array]) -> dict[str, Array]:
    if double is None:
        return {}
    wide = {n: a.astype(np.float64) if a.dtype.kind == "f" else a for n, a in feed.items()}
    try:
        return _answers(double, wide)
    except Exception:  # a module that fixes a type inside raises whatever its operators raise
        return {}


def in_one_line(error: BaseException) -> str:
    """Write an exception of another project's as one line, at most 300 characters long."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
