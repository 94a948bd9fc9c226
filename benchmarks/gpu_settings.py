"""What a run of `benchmarks.gpu` was asked for."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from benchmarks.gpu_ways import Way
from edgekit.measure.plan import Plan
from edgekit.terms import Memory


class Settings(msgspec.Struct, frozen=True):
    """What a run was asked for.

    `ways` begin with the baseline, `plan` is that of one part, and `until` is the moment, on the
    monotonic clock, after which no step is begun. `lacking` is known of TensorRT's libraries.
    """

    provider: str
    models: list[str]
    ways: list[Way]
    batches: list[int]
    arrays: list[Memory]
    starts: int
    plan: Plan
    row_limit_s: float
    until: float
    again: bool
    packages: Path
    output: Path
    lacking: str = ""

    @property
    def out_of_time(self) -> bool:
        """Whether nothing more may be begun."""
        return time.monotonic() >= self.until

    def units(self) -> list[tuple[str, int, Memory]]:
        """List what is to be timed, all models once before any of them again."""
        return [
            (model, batch, arrays)
            for arrays in self.arrays
            for batch in self.batches
            for model in self.models
        ]
