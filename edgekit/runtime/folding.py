"""The child's side of looking at values: run a model and fold its answers together.

A `Worker` opens it as a runner. Answers of the model never leave the process: each is folded into
what was kept of it before (the smallest so far, a sum, the counts of a histogram), and when the
runner is closed that is written to a file. So memory grows neither with the cases nor with the
pipe's frames.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import onnxruntime as ort

from edgekit.errors import ModelFileError, RunFailed
from edgekit.machine import threads_available
from edgekit.runtime.inputs import check_shapes, conform
from edgekit.runtime.sessions import signature_of
from edgekit.tensors import Array, Feed, RunFacts, Runner

BLOCK = 1 << 16
"""How many numbers are sorted into bins at once: few enough to stay in a core's cache."""

_ONLY_ERRORS = 3


class Fold(msgspec.Struct, frozen=True):
    """What is kept of an answer: the smallest or largest elements, the sum of all runs, or a
    histogram of `bins` bins of one width over [low, high], of numbers outside of which nothing is
    kept."""

    kind: Literal["min", "max", "sum", "histogram"]
    low: float = 0.0
    high: float = 0.0
    bins: int = 0


def open_folding(path: str, folds: dict[str, Fold], into: str) -> Runner:
    """Open a model whose answers are folded.

    Args:
        path: the .onnx file.
        folds: what to keep of each of its outputs.
        into: the .npz file that closing the runner writes: an array by the output's place in
            `folds`, of float64 or of counts; none where nothing was run.

    Raises:
        ModelFileError: ONNX Runtime refuses the model.
    """
    options = ort.SessionOptions()
    options.log_severity_level = _ONLY_ERRORS
    options.intra_op_num_threads = threads_available()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_session_config_entry("session.intra_op.spin_duration_us", "200")
    # An arena keeps the largest of every size that it has met.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    try:
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class but this one
        raise ModelFileError(path=path, problem=" ".join(str(error).split())) from error
    return _Folding(session, Path(path), folds=folds, into=Path(into))


class _Folding:
    def __init__(
        self, session: ort.InferenceSession, path: Path, *, folds: dict[str, Fold], into: Path
    ) -> None:
        self.signature = signature_of(session, path=path)
        self.facts = RunFacts(provider="cpu", precision="fp32", threads=threads_available())
        self._session = session
        self._path = path
        self._folds = folds
        self._into = into
        self._kept: dict[str, Array] = {}

    def prepare(self, feed: Feed) -> Callable[[], None]:
        arrays = conform(self.signature, feed)
        check_shapes(self.signature, arrays)
        return lambda: self._run(arrays)

    def fetch(self, answer: Any) -> dict[str, Array]:
        del answer
        return {}

    def close(self) -> None:
        places = {name: str(place) for place, name in enumerate(self._folds)}
        kept: dict[str, Any] = {places[name]: array for name, array in self._kept.items()}
        np.savez(self._into, **kept)

    def _run(self, arrays: dict[str, Array]) -> None:
        try:
            answers = self._session.run(list(self._folds), arrays)
        except Exception as error:  # onnxruntime's exceptions share no base class but this one
            problem = " ".join(str(error).split())
            raise RunFailed(package=self._path.stem, problem=problem) from error
        for name, fold in self._folds.items():
            # Each is let go of before the next is looked at.
            self._kept[name] = folded(self._kept.get(name), answers.pop(0), fold=fold)


def folded(kept: Array | None, answer: Array, *, fold: Fold) -> Array:
    """Fold an answer into what was kept of those before it, None before the first."""
    if fold.kind == "histogram":
        counts = np.zeros(fold.bins, np.int64) if kept is None else kept
        count(answer.reshape(-1), counts, fold=fold)
        return counts
    wide = np.asarray(answer, np.float64)
    if kept is None:
        return wide
    if fold.kind == "sum":
        return np.asarray(kept + wide)
    return np.asarray((np.minimum if fold.kind == "min" else np.maximum)(kept, wide))


def count(numbers: Array, counts: Array, *, fold: Fold) -> None:
    """Count float32 numbers into the bins of a histogram, in place.

    The last bin holds `high` itself. Numbers outside of [low, high], and NaN, are left out. Edges
    are those of float32 arithmetic: a number next to an edge may fall on its other side.
    """
    bins = len(counts)
    per_bin = np.float32(bins / (fold.high - fold.low))
    low, high = np.float32(fold.low), np.float32(fold.high)
    scaled = np.empty(min(BLOCK, len(numbers)), np.float32)
    places = np.empty(len(scaled), np.int32)
    for start in range(0, len(numbers), BLOCK):
        block = numbers[start : start + BLOCK]
        here, at = scaled[: len(block)], places[: len(block)]
        with np.errstate(over="ignore", invalid="ignore"):  # a mask's numbers, which aren't kept
            np.subtract(block, low, out=here)
            np.multiply(here, per_bin, out=here)
            all_inside = here.min() >= 0 and block.max() <= high
        if not all_inside:
            here = here[(block >= low) & (block <= high)]
            at = at[: len(here)]
        np.minimum(here, bins - 1, out=here)
        at[:] = here
        counts += np.bincount(at, minlength=bins)
