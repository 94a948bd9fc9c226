from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from edgekit.machine import Machine
from edgekit.measure.plan import Plan
from edgekit.measure.results import Bench, BenchReport, Measurement, Quality, Start, report
from edgekit.metrics import Closeness, wilson
from edgekit.tensors import RunFacts


@pytest.fixture
def text_of() -> Callable[..., str]:
    """Print with a function of the report's to a console of some width, and return the text."""

    def print_to(function: Callable[..., None], *values: Any, width: int = 200) -> str:
        console = Console(file=io.StringIO(), width=width, emoji=False, highlight=False)
        function(console, *values)
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    return print_to


@pytest.fixture
def machine() -> Machine:
    return Machine(
        arch="x86_64",
        isa=("avx2",),
        cpu="AMD EPYC 7B13 64-Core Processor",
        cores=2,
        quota=None,
        memory_mb=8000,
        os="Linux",
        python="3.11.7",
        gpu=None,
        driver=None,
        governor=None,
        versions={},
    )


@pytest.fixture
def bench_report(machine: Machine) -> Callable[..., BenchReport]:
    """Make the report of a classifier's bench: eager at 0.6 ms, fp32 at 0.12 ms, 5 starts of 4."""

    def measured(label: str, ms: float, idle: str | None) -> Measurement:
        rounds = [[int(ms * 1e6)] * 30 for _ in range(4)]
        starts = [Start(100.0, 2.0, 3.0, 60.0, [9], rounds) for _ in range(5)]
        quality = Quality(
            "cases", 1500, "key", accuracy=wilson(1477, 1500), agreement=wilson(1500, 1500)
        )
        facts = RunFacts("cpu", "fp32", 2, idle)
        near = {"logits": Closeness(4.9e-6, 1e-5, 0.9999999, 130.0)}
        return Measurement(label, facts, starts, 1_690_000, near, quality=quality)

    def make(**facts: Any) -> BenchReport:
        given: dict[str, Any] = {
            "name": "cnn",
            "baseline": "PyTorch eager",
            "baseline_is": "the PyTorch original",
            "metric": "top1",
            "sizes": {"batch": 1},
            "batch": 1,
            "threads": 2,
            "machine": machine,
            "plan": Plan(),
            "measurements": [
                measured("PyTorch eager", 0.6, None),
                measured("fp32 · cpu", 0.12, "brief"),
            ],
        }
        return report(Bench(**{**given, **facts}))

    return make
