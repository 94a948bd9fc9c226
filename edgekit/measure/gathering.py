"""What is gathered of one candidate while a bench runs, and how its answers are held to others."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from edgekit.errors import OriginalUnavailable
from edgekit.measure.plan import Candidate
from edgekit.measure.quality import Tally, furthest
from edgekit.measure.results import Measurement, Start
from edgekit.metrics import Closeness, closeness, other_form, within
from edgekit.package.values import Tolerance
from edgekit.tensors import Array, Case, RunFacts

_UNSAID = Tolerance(0.0, 1e-3)
"""What an original is held to in an output of which the package says nothing."""


class Gathered:
    """What is known of one candidate so far, over all of its starts.

    The outputs in `random` are compared by shape alone.
    """

    def __init__(self, candidate: Candidate, random: Collection[str] = ()) -> None:
        self.candidate = candidate
        self._random = random
        self.starts: list[Start] = []
        self.facts: RunFacts | None = None
        self.first_output = ""
        self.calls = 0
        self.tally: Tally | None = None
        self._furthest: dict[str, Closeness] = {}
        self._mismatch = ""

    def hold(self, got: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
        """Compare the outputs of a timed run with those of the baseline in the same round."""
        for output, array in expected.items():
            if output not in got or got[output].shape != array.shape:
                self._mismatch = self._mismatch or f"{output} is missing or has another shape"
                continue
            if output in self._random:
                off = other_form(got[output], array)
                self._mismatch = self._mismatch or (off and f"{output}: {off}")
                continue
            distance = closeness(got[output], array)
            self._furthest[output] = furthest(distance, self._furthest.get(output))
            tolerance = self.candidate.tolerance.get(output)
            if tolerance is not None and not self._mismatch:
                # Twice: the tolerance is around the exact answer, and the baseline is inexact too.
                outside = within(
                    got[output], array, absolute=2 * tolerance.absolute, relative=tolerance.relative
                )
                self._mismatch = f"{output}: {outside}" if outside is not None else ""

    def forget_comparisons(self) -> None:
        """Drop what `hold` found: the baseline that it was found against is left out."""
        self._furthest, self._mismatch = {}, ""

    def measurement(self) -> Measurement:
        """Put together everything that was gathered."""
        assert self.facts is not None
        return Measurement(
            label=self.candidate.label,
            facts=self.facts,
            starts=self.starts,
            size_bytes=self.candidate.size_bytes,
            against_original=self._furthest,
            mismatch=self._mismatch,
            quality=self.tally.quality() if self.tally is not None else None,
        )


def refuse_other_answers(
    candidate: Candidate,
    answers: Mapping[str, Array],
    *,
    recorded: Case,
    random: Collection[str] = (),
) -> None:
    """Raise OriginalUnavailable if answers to a recorded case aren't those that were recorded.

    The outputs in `random` are compared by shape alone.
    """
    for output, expected in (recorded.outputs or {}).items():
        tolerance = candidate.tolerance.get(output, _UNSAID)
        if output not in answers or answers[output].shape != expected.shape:
            problem = "is missing or has another shape"
        elif output in random:
            problem = other_form(answers[output], expected)
        elif off := within(
            answers[output], expected, absolute=tolerance.absolute, relative=tolerance.relative
        ):
            problem = str(off)
        else:
            problem = ""
        if not problem:
            continue
        raise OriginalUnavailable(
            reason=f"{candidate.label} doesn't give the answers that the package recorded of its "
            f"original ({output}: {problem}); export the package again"
        )
