"""One float model's answers, computed once, and other models held against them again and again.

Repair and sensitivity look at dozens of models made from one parent, over the same cases: the
parent's answers are kept in a file, one after the other, and read along with the cases.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import msgspec
import numpy as np

from edgekit.measure.quality import Tally, closeness_of
from edgekit.measure.results import Quality
from edgekit.measure.ways import How, variant_call
from edgekit.metrics import SQNR_FLOOR_DB, UNBOUNDED
from edgekit.package.values import PORTABLE
from edgekit.tensors import Array, Case, Dataset
from edgekit.terms import Metric
from edgekit.workers import Worker

Progress = Callable[[int, int], None]


class Noise(msgspec.Struct, frozen=True):
    """How far a model's answers lie from its parent's.

    `nsr` is the noise-to-signal ratio of powers: the sum of (got - parent's)² over all cases by the
    sum of the parent's², the mean over the outputs. `sqnr_db` is the same in dB, -10 log10(nsr);
    None where nothing differs. `cosine` is the mean over the cases of the lowest of the outputs'.
    """

    nsr: float
    sqnr_db: float | None
    cosine: float


def in_db(nsr: float) -> float | None:
    """Write a noise-to-signal ratio as an SQNR in dB; None for no noise at all."""
    if nsr <= 0:
        return None
    return SQNR_FLOOR_DB if nsr >= UNBOUNDED else max(-10.0 * float(np.log10(nsr)), SQNR_FLOOR_DB)


class Evaluation:
    """Cases with a float model's answers, beside which other models are run.

    All run in one process, one after the other, so that its start is paid once. Use it as a context
    manager: leaving it ends that process and deletes the file of answers.

    Args:
        parent: the float model's .onnx file.
        dataset: the cases.
        scratch: a folder for the file of answers.
        metric: how answers are judged, see `edgekit.terms.Metric`.
        output: the output whose last axis holds the scores of the classes.
        random: outputs whose values can't be compared.
        how: how models are run.
        wall_s: how long loading, or a single run, may take.
        progress: called with the cases done and the cases in all, for each model.

    Raises what `edgekit.workers.Worker` raises.
    """

    def __init__(
        self,
        parent: Path,
        dataset: Dataset,
        *,
        scratch: Path,
        metric: Metric,
        output: str,
        random: Collection[str] = (),
        how: How | None = None,
        wall_s: float = 600.0,
        progress: Progress | None = None,
    ) -> None:
        self._dataset = dataset
        self._metric: Metric = metric
        self._output = output
        self._random = frozenset(random)
        self._how = how or How()
        self._wall_s = wall_s
        self._progress = progress
        self._file = scratch / "answers.npy"
        self._names: tuple[str, ...] = ()
        self._worker: Worker | None = None
        with self._file.open("wb") as file:
            for _, answer in self._answers_of(parent):
                self._names = tuple(answer)
                for array in answer.values():
                    np.save(file, array, allow_pickle=False)

    def __enter__(self) -> Evaluation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
        self._file.unlink(missing_ok=True)

    def quality(self, model: Path) -> tuple[Quality, Quality]:
        """Run a model over the cases; give its quality and its parent's against the original.

        What was recorded of the original counts as its answer, and the parent's where nothing was.

        Raises:
            ModelFileError, RunFailed, WorkerError: it can't be run.
            InputError: it answers with other outputs or shapes than its parent.
        """
        ours, parents = (
            Tally(self._dataset, metric=self._metric, output=self._output, random=self._random)
            for _ in range(2)
        )
        for case, answer, parent in self._beside(model):
            original = case.outputs or parent
            ours.add(case, answer, original=original)
            parents.add(case, parent, original=original)
        return ours.quality(), parents.quality()

    def noise(self, model: Path) -> Noise:
        """Run a model over the cases and measure how far it lies from its parent.

        Raises what `quality` raises.
        """
        noises: dict[str, float] = {}
        signals: dict[str, float] = {}
        cosines: list[float] = []
        for _, answer, parent in self._beside(model):
            distance = closeness_of(answer, parent, random=self._random)
            if distance is not None:
                cosines.append(distance.cosine)
            for name, expected in parent.items():
                if name not in self._random and expected.dtype.kind in "fV":
                    noise, signal = powers(answer[name], expected)
                    noises[name] = noises.get(name, 0.0) + noise
                    signals[name] = signals.get(name, 0.0) + signal
        ratios = [ratio(noises[name], signals[name]) for name in noises]
        nsr = min(float(np.mean(ratios)), UNBOUNDED) if ratios else 0.0
        return Noise(nsr, in_db(nsr), float(np.mean(cosines)) if cosines else 1.0)

    def _beside(self, model: Path) -> Iterator[tuple[Case, Mapping[str, Array], dict[str, Array]]]:
        with self._file.open("rb") as file:
            for case, answer in self._answers_of(model):
                yield case, answer, {name: _next(file) for name in self._names}

    def _answers_of(self, model: Path) -> Iterator[tuple[Case, dict[str, Array]]]:
        worker = self._worker or Worker(
            f"running models over {self._dataset.name}", wall_s=self._wall_s
        )
        self._worker = worker
        try:
            worker.open(variant_call(model, PORTABLE, self._how))
            for done, case in enumerate(self._dataset.open()):
                if self._progress is not None:
                    self._progress(done, self._dataset.cases)
                yield case, worker.run(case.feed).outputs
            worker.release()
        except BaseException:
            self._end()
            raise

    def _end(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None


def powers(got: Array, expected: Array) -> tuple[float, float]:
    """Sum up the squares of what differs, and of what is expected, over the finite elements.

    Where one of the two alone isn't finite the noise is `UNBOUNDED`.
    """
    x, y = got.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(y)
    if not np.isfinite(x[finite]).all():
        return UNBOUNDED, float(np.square(y[finite]).sum())
    return float(np.square(x[finite] - y[finite]).sum()), float(np.square(y[finite]).sum())


def ratio(noise: float, signal: float) -> float:
    """Divide powers: 0 where there is no noise, `UNBOUNDED` where there is no signal but noise."""
    if noise <= 0:
        return 0.0
    return min(noise / signal, UNBOUNDED) if signal > 0 else UNBOUNDED


def _next(file: BinaryIO) -> Array:
    array: Array = np.load(file, allow_pickle=False)
    return array
