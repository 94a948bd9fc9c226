"""What `benchmarks.coverage` keeps of each architecture."""

from __future__ import annotations

from typing import Literal

import msgspec

Side = Literal["edgekit", "bare"]
"""Which way: `exporters.export_target`, or `torch.onnx.export` alone."""

Outcome = Literal["right", "wrong", "refused", "out of time", "died"]

Sizes = dict[str, int]


class Judged(msgspec.Struct, frozen=True):
    """What came of one export. `times_own` is the largest error over the original's own."""

    outcome: Outcome
    seconds: float | None = None
    strategy: str | None = None
    size_mb: float | None = None
    max_abs_error: float | None = None
    times_own: float | None = None
    sizes: list[Sizes] = []
    problem: str = ""
    notes: list[str] = []


class Entry(msgspec.Struct, frozen=True):
    """One architecture, both ways."""

    edgekit: Judged
    bare: Judged


class Conditions(msgspec.Struct, frozen=True):
    """What must be the same for entries to stand in one table."""

    versions: dict[str, str]
    isa: list[str]


class Result(msgspec.Struct, frozen=True):
    """Everything that was done, in the order in which it is listed."""

    conditions: Conditions
    entries: dict[str, Entry]
