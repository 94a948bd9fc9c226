"""Who wins, and what became of everyone else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from edgekit.measure import statistics
from edgekit.measure.results import Measurement, Quality
from edgekit.metrics import Estimate
from edgekit.tune.ways import Way, departures

MIN_GAIN = 1.02
"""A variant that is less faster than this is not worth other numbers and another file."""


class Entrant(msgspec.Struct, frozen=True):
    """Who ran in the last race: what it weighs, how right and how fast it is.

    `speedup` is against the float variant in its usual session, in the same rounds. Only those of
    one `group` shared their rounds with each other, too.
    """

    way: Way
    measured: Measurement
    speedup: Estimate
    quality: Quality | None
    size_bytes: int
    group: int = 0


class Decision(msgspec.Struct, frozen=True):
    """Who won the last race, None for the float variant, and who can't be told from the winner.

    `stayed` says that it won because it was chosen before, and nothing is faster by more than
    noise.
    """

    winner: Entrant | None = None
    alike: tuple[Entrant, ...] = ()
    stayed: bool = False


def faster(speedup: Estimate) -> bool:
    """Tell whether something is faster than the baseline by more than noise, and worth it."""
    return speedup.low > 1 and speedup.value >= MIN_GAIN


def decision(entrants: Sequence[Entrant], *, before: str | None = None) -> Decision:
    """Choose the fastest, and of those that can't be told from it the least demanding.

    That is the one whose session departs least from what is usual, then the most right, then the
    smallest. Where nobody is faster than the baseline by more than noise, nobody wins.

    Args:
        entrants: who keeps the budget and ran in the last race.
        before: the label of what was chosen before and stays, unless another or the baseline is
            faster than it by more than noise.
    """
    better = [entrant for entrant in entrants if faster(entrant.speedup)]
    found = _fastest(better)
    stays = next((entrant for entrant in entrants if entrant.way.label == before), None)
    if (
        stays is not None
        and stays is not found.winner
        and stays.speedup.high >= 1
        and not any(_slower(stays, other) for other in better)
    ):
        return Decision(stays, stayed=True)
    return found


def _fastest(better: Sequence[Entrant]) -> Decision:
    if not better:
        return Decision()
    fastest = max(better, key=lambda entrant: entrant.speedup.value)
    alike = [entrant for entrant in better if not _slower(entrant, fastest)]
    chosen = min(
        alike,
        key=lambda e: (departures(e.way.session), round(loss(e.quality), 4), e.size_bytes),
    )
    return Decision(chosen, tuple(entrant for entrant in alike if entrant is not chosen))


def _slower(entrant: Entrant, than: Entrant) -> bool:
    """Tell whether one is slower than the other by more than noise and by more than it is worth to
    ask for more: in the rounds they share, else by what each is against the baseline."""
    if entrant is than:
        return False
    if entrant.group != than.group:
        apart = entrant.speedup.high < than.speedup.low
        return apart and than.speedup.value >= MIN_GAIN * entrant.speedup.value
    ratio = statistics.speedup(
        [start.rounds for start in entrant.measured.starts],
        [start.rounds for start in than.measured.starts],
    )
    return ratio.low > 1 and ratio.value >= MIN_GAIN


def loss(quality: Quality | None) -> float:
    """Say what was lost of the accuracy, on whatever scale was measured: 0 is nothing."""
    if quality is None:
        return 0.0
    if quality.drop is not None:
        return quality.drop.value
    if quality.kept_agreement is not None:
        return 1 - quality.kept_agreement.value
    return 1 - quality.cosine.value if quality.cosine is not None else 0.0


def front(points: Mapping[str, tuple[float, float, int]]) -> frozenset[str]:
    """Name those that nobody beats in one respect without being worse in another (Pareto).

    Args:
        points: latency, loss of accuracy and size of each, by name; less is better.
    """
    return frozenset(
        name
        for name, point in points.items()
        if not any(
            other != point and all(a <= b for a, b in zip(other, point, strict=True))
            for other in points.values()
        )
    )
