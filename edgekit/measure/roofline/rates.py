"""The rates that a machine reaches at most, as plain values."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class MachinePeaks(msgspec.Struct, frozen=True):
    """What one provider reaches on one kind of machine at one number of threads.

    `float_gflops` and `int8_gops` count an addition and a multiplication as two. `copy_gb_s` is how
    many 10^9 bytes a pass over memory reads and writes in a second, by the working set in bytes.
    None where the provider can't run the model that shows it. `how` says how it was measured,
    `disturbed` that other processes kept the machine busy meanwhile.
    """

    provider: str
    threads: int
    float_gflops: float | None
    int8_gops: float | None
    copy_gb_s: dict[int, float]
    how: str
    disturbed: bool = False


def higher_of(found: MachinePeaks, kept: MachinePeaks) -> MachinePeaks:
    """Take the higher of two measurements of each rate: no machine does more than it can."""
    rates = {
        size: max(one.copy_gb_s.get(size, 0.0) for one in (found, kept))
        for size in sorted({*found.copy_gb_s, *kept.copy_gb_s})
    }
    return msgspec.structs.replace(
        found,
        float_gflops=higher(found.float_gflops, kept.float_gflops),
        int8_gops=higher(found.int8_gops, kept.int8_gops),
        copy_gb_s=falling(rates),
    )


def higher(*rates: float | None) -> float | None:
    """Take the highest of some rates; None where there is none."""
    return max((rate for rate in rates if rate is not None), default=None)


def falling(rates: Mapping[int, float]) -> dict[int, float]:
    """Give every working set the highest rate of those that aren't smaller.

    What a large set reaches a small one can: where it was measured slower, its passes are so short
    that calling them and waking a second thread counts.
    """
    return {size: max(rates[other] for other in rates if other >= size) for size in sorted(rates)}
