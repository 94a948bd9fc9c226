"""A new model's answers beside its parent's and the original's, a case at a time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgekit.errors import ModelFileError
from edgekit.measure.quality import Tally, furthest
from edgekit.measure.results import Quality
from edgekit.measure.trials import RELATIVE, share_of_largest
from edgekit.metrics import UNBOUNDED, Closeness, closeness, largest, other_form
from edgekit.package.values import Graph, OutputCloseness, Tolerance
from edgekit.tensors import Array, Case, Dataset, random_outputs
from edgekit.terms import Metric

SPREAD = 2.0
"""How much further than here an answer may lie elsewhere, where kernels add up in another order."""

Answers = Mapping[str, Array]


class Comparison:
    """Counts how far a model's answers lie from its parent's and from the original's.

    Args:
        graph: the graph that both are of.
        metric: how answers are judged.
        precision: that of the model, which says how much rounding is to be expected.
        model: the model's file, for errors.
    """

    def __init__(self, graph: Graph, *, metric: Metric, precision: str, model: Path) -> None:
        # One number a row names no class.
        ranked = len(graph.signature.outputs[0].shape) > 1
        self._metric: Metric = metric if ranked else "closeness"
        self._graph = graph
        self._model = model
        self._share = share_of_largest(precision)
        self._random = random_outputs(graph.signature)
        self._to_parent: dict[str, Closeness] = {}
        self._to_original: dict[str, Closeness] = {}
        self._largest: dict[str, float] = {}
        self._other_integers: dict[str, int] = {}
        self._tallies: dict[str, tuple[Tally, Tally]] = {}
        self.cases = 0

    def add(self, dataset: Dataset, case: Case, *, got: Answers, parents: Answers) -> None:
        """Count the answers to one case of a dataset.

        What the package recorded of the original counts as its answer, and the parent's where
        nothing was recorded.

        Raises:
            ModelFileError: the answer has another shape than the parent's, or is NaN or infinite
                where that is finite.
        """
        original = case.outputs or parents
        self.refuse_lost(dataset, got=got, parents=parents)
        for name, expected in parents.items():
            if name in self._random:
                continue
            _add(self._to_parent, name, got[name], expected)
            _add(self._to_original, name, got[name], original[name])
            self._largest[name] = max(self._largest.get(name, 0.0), largest(original[name]))
            if expected.dtype.kind in "biu" and not np.array_equal(got[name], original[name]):
                self._other_integers[name] = self._other_integers.get(name, 0) + 1
        self._tally(dataset, case, got, parents, original)
        self.cases += 1

    def refuse_lost(self, dataset: Dataset, *, got: Answers, parents: Answers) -> None:
        """Raise what `add` raises of an answer to the next case, and count nothing."""
        where = f"case {self.cases} ({dataset.name})"
        for name, expected in parents.items():
            if off := other_form(got[name], expected):
                raise self._refused(f"of {where} it answers {name} in another form: {off}")
            if name not in self._random:
                self._refuse_lost(name, got[name], expected, where)

    def to_parent(self) -> dict[str, Closeness]:
        """Give the furthest that the answers were from the parent's, by output."""
        return self._to_parent

    def to_original(self) -> tuple[OutputCloseness, ...]:
        """Give how close each output came to the original, and how far it may lie elsewhere.

        That is twice as far as here, and no less than rounding of the new precision may take it.
        """
        return tuple(
            OutputCloseness(
                output=name,
                max_abs_error=distance.max_abs_error,
                max_rel_error=distance.max_rel_error,
                cosine=distance.cosine,
                sqnr_db=distance.sqnr_db,
                tolerance=Tolerance(self._allowed(name, distance), RELATIVE),
            )
            for name, distance in self._to_original.items()
        )

    def quality(self) -> tuple[Quality | None, Quality | None]:
        """Give how good the model's and the parent's answers are on the held-out cases."""
        if "test" not in self._tallies:
            return None, None
        ours, parents = self._tallies["test"]
        return ours.quality(), parents.quality()

    def reference_quality(self) -> Quality:
        """Give how good the model's answers are on the reference cases."""
        return self._tallies["reference"][0].quality()

    def notes(self) -> tuple[str, ...]:
        """Say what the distances alone don't."""
        return tuple(
            f"{name} holds whole numbers, and they are others than the original's in {n:,} of "
            f"{self.cases:,} cases: 'edgekit check', which allows no difference there, may say no"
            for name, n in self._other_integers.items()
        )

    def _allowed(self, name: str, distance: Closeness) -> float:
        allowed = max(SPREAD * distance.max_abs_error, self._share * self._largest[name])
        return min(allowed, UNBOUNDED)

    def _tally(
        self, dataset: Dataset, case: Case, got: Answers, parents: Answers, original: Answers
    ) -> None:
        if dataset.split not in self._tallies:
            output = self._graph.signature.outputs[0].name
            ours, theirs = (
                Tally(dataset, metric=self._metric, output=output, random=self._random)
                for _ in range(2)
            )
            self._tallies[dataset.split] = ours, theirs
        for tally, answer in zip(self._tallies[dataset.split], (got, parents), strict=True):
            tally.add(case, answer, original=original)

    def _refuse_lost(self, name: str, got: Array, expected: Array, where: str) -> None:
        if got.dtype.kind not in "fV":
            return
        lost = np.isfinite(expected.astype(np.float64)) & ~np.isfinite(got.astype(np.float64))
        if n := int(np.count_nonzero(lost)):
            raise self._refused(
                f"its output {name} is NaN or infinite in {n} of {got.size} elements of {where}, "
                "where the variant that it was made from is finite: leave more nodes in float"
            )

    def _refused(self, problem: str) -> ModelFileError:
        return ModelFileError(path=self._model.name, problem=problem)


def _add(found: dict[str, Closeness], name: str, got: Array, expected: Array) -> None:
    found[name] = furthest(closeness(got, expected), found.get(name))
