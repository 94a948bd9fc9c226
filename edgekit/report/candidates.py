"""The candidates of a bench and those that tuning tried, in one form: what each took and kept."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edgekit.measure.results import BenchReport, Measurement, Quality, Row
from edgekit.metrics import Estimate
from edgekit.terms import Outcome
from edgekit.tune.results import Tried, Tuned


class Candidate(msgspec.Struct, frozen=True):
    """A way to run the model, and what is known of it.

    `speedup` is against the original or the float variant, as the source says. `outcome` is what
    tuning made of it, None in a bench. `on_front` says that nothing is both faster and nearer to
    the original.
    """

    label: str
    p50_ms: Estimate | None
    speedup: Estimate | None
    quality: Quality | None
    size_bytes: int | None
    is_original: bool = False
    on_front: bool = False
    outcome: Outcome | None = None
    reason: str = ""

    @property
    def inside(self) -> bool:
        """Whether it keeps its budget, where there is one."""
        return self.outcome not in ("over budget", "undecided", "failed")


class Worth(msgspec.Struct, frozen=True):
    """What answers are compared by: in words, whether it is a share, and each candidate's own."""

    measure: str
    percent: bool
    of: dict[str, Estimate]


def of_bench(report: BenchReport) -> tuple[Candidate, ...]:
    """List the rows of a bench; those whose answers were off come without a place on the front."""
    by_label = {measured.label: measured for measured in report.bench.measurements}
    found = [_of_row(row, by_label[row.label]) for row in report.rows]
    front = _front([one for one in found if not by_label[one.label].mismatch])
    return tuple(msgspec.structs.replace(one, on_front=one.label in front) for one in found)


def of_tuned(tuned: Tuned) -> tuple[Candidate, ...]:
    """List what tuning tried, in its order."""
    found = [_of_tried(tried) for tried in tuned.tried]
    front = _front([one for one in found if one.inside])
    return tuple(msgspec.structs.replace(one, on_front=one.label in front) for one in found)


def worth(candidates: Sequence[Candidate]) -> Worth | None:
    """Find what the candidates' answers can be compared by; None where nothing was measured.

    Right answers come first, classes that stay the original's second, the cosine to its answers
    third. The original keeps all of its own classes and numbers.
    """
    qualities = {one.label: one.quality for one in candidates if one.quality is not None}
    originals = [one.label for one in candidates if one.is_original]
    for measure, percent, name in (
        ("accuracy", True, "accuracy"),
        ("agreement with the original", True, "kept_agreement"),
        ("cosine to the original's answers", False, "cosine"),
    ):
        of = {
            label: value
            for label, quality in qualities.items()
            if isinstance(value := getattr(quality, name), Estimate)
        }
        if of:
            if name != "accuracy":
                of |= {label: Estimate(1.0, 1.0, 1.0, 0, "by definition") for label in originals}
            return Worth(measure, percent, of)
    return None


def _of_row(row: Row, measured: Measurement) -> Candidate:
    quality = measured.quality
    if quality is not None and row.is_original and row.speedup is None:
        # What it keeps of its own answers says nothing.
        quality = msgspec.structs.replace(
            quality, drop=None, agreement=None, kept_agreement=None, cosine=None
        )
    return Candidate(
        label=row.label,
        p50_ms=row.p50_ms,
        speedup=row.speedup,
        quality=quality,
        size_bytes=measured.size_bytes or measured.facts.weights_bytes,
        is_original=row.is_original,
    )


def _of_tried(tried: Tried) -> Candidate:
    return Candidate(
        label=tried.label,
        p50_ms=tried.p50_ms,
        speedup=tried.speedup,
        quality=tried.quality,
        size_bytes=tried.size_bytes,
        outcome=tried.outcome,
        reason=tried.reason,
    )


def _front(candidates: Sequence[Candidate]) -> set[str]:
    """Find the candidates that no other beats in time and in what answers are worth."""
    found = worth(candidates)
    if found is None:
        return set()
    front: set[str] = set()
    best = -1.0
    placed = [one for one in candidates if one.p50_ms is not None and one.label in found.of]
    for one in sorted(
        placed, key=lambda c: (c.p50_ms.value if c.p50_ms else 0.0, -found.of[c.label].value)
    ):
        if found.of[one.label].value > best:
            best = found.of[one.label].value
            front.add(one.label)
    return front
