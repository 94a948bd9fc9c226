from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit import machine
from edgekit.measure.plan import Candidate, Plan
from edgekit.measure.results import Bench, Measurement, Start
from edgekit.package.values import SessionChoice
from edgekit.tensors import RunFacts
from edgekit.workers import Call


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what one test measures from the next, whose package has the same hash."""
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def opens() -> Callable[..., Candidate]:
    """Make a candidate that opens a package or an .onnx file in a real worker."""

    def make(
        path: Path, *, label: str, session: SessionChoice | None = None, **facts: Any
    ) -> Candidate:
        arguments = {
            "path": str(path),
            "variant": "portable",
            "session": session or SessionChoice(threads=1),
        }
        return Candidate(label, Call("edgekit.runtime.runner:open_variant", arguments), **facts)

    return make


@pytest.fixture
def measurement() -> Callable[..., Measurement]:
    """Make what was measured of a candidate out of durations in ns: starts of rounds of samples.

    The n-th start (from 0) took 100 + n ms to import, 2 to load and 3 for the first call, and had
    a peak of 50 + n MB.
    """

    def make(label: str, durations_ns: list[list[list[int]]], **facts: Any) -> Measurement:
        starts = [
            Start(100.0 + n, 2.0, 3.0, 50.0 + n, [9], rounds)
            for n, rounds in enumerate(durations_ns)
        ]
        facts.setdefault("facts", RunFacts("cpu", "fp32", 1))
        facts.setdefault("size_bytes", None)
        return Measurement(label=label, starts=starts, **facts)

    return make


@pytest.fixture
def bench_of() -> Callable[..., Bench]:
    """Make a bench of measurements, the first of which is the baseline."""

    def make(*measurements: Measurement, **facts: Any) -> Bench:
        given: dict[str, Any] = {
            "name": "tiny",
            "baseline": measurements[0].label,
            "baseline_is": "the PyTorch original",
            "metric": "top1",
            "sizes": {"batch": 1},
            "batch": 1,
            "threads": 1,
            "machine": machine.describe(),
            "plan": Plan(),
            "measurements": list(measurements),
        }
        return Bench(**{**given, **facts})

    return make
