from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from edgekit import machine as machines
from edgekit.budgets import Budget, judge_all
from edgekit.intervals import Changes, drop
from edgekit.machine import Machine
from edgekit.measure.plan import Plan
from edgekit.measure.results import Bench, BenchReport, Measurement, Quality, Start, report
from edgekit.measure.roofline.limits import Limit, Peaks
from edgekit.measure.slowness.values import Explained, Reason, VariantExplained
from edgekit.metrics import Closeness, Estimate, wilson
from edgekit.package.values import (
    CaseFile,
    Choice,
    FileRecord,
    Graph,
    GraphFacts,
    Kept,
    Package,
    Provenance,
    Recipe,
    SessionChoice,
    Target,
    Variant,
)
from edgekit.quantize.searching.evaluation import Noise, in_db
from edgekit.quantize.searching.ranking import Row, Sensitivity
from edgekit.report.evidence import Known
from edgekit.tensors import Dim, RunFacts, Signature, TensorSpec
from edgekit.terms import Outcome
from edgekit.tune.results import Tried, Tuned


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
            "originals": ["PyTorch eager"],
            "measurements": [
                measured("PyTorch eager", 0.6, None),
                measured("fp32 · cpu", 0.12, "brief"),
            ],
        }
        return report(Bench(**{**given, **facts}))

    return make


@pytest.fixture
def package() -> Package:
    """A package of a classifier of digits, with an int8 variant that is made for AVX2."""
    facts = GraphFacts(20, 10, 422_220, {"Conv": 2, "Gemm": 2})
    signature = Signature(
        (TensorSpec("image", "float32", (Dim("batch", 1, 64), 3, 28, 28), (0.0, 1.0)),),
        (TensorSpec("logits", "float32", (Dim("batch", 1, 64), 10)),),
    )
    cases = CaseFile("evaluation.safetensors", "digits", "test", 1500, "c" * 64)
    int8 = Variant(
        "int8-static",
        "model",
        "int8-static.onnx",
        "int8",
        facts,
        parent="fp32",
        target=Target(arch="x86_64", isa=("avx2",)),
        recipe=Recipe("int8-static"),
        kept=Kept("key", "x86_64", ("avx2",), "digits", 1500, "c" * 64, accuracy=0.98),
    )
    return Package(
        name="cnn",
        graphs=(Graph("model", signature, evaluation=cases),),
        variants=(Variant("fp32", "model", "fp32.onnx", "fp32", facts), int8),
        provenance=Provenance(
            "net.py:make", "pytorch", "dynamo", "a" * 64, versions={"torch": "2.13.0"}
        ),
        files={
            "fp32.onnx": FileRecord("0" * 64, 1_690_000),
            "int8-static.onnx": FileRecord("1" * 64, 432_000),
        },
        metric="top1",
    )


@pytest.fixture
def tuned(machine: Machine, bench_report: Callable[..., BenchReport]) -> Tuned:
    """What tuning found: int8 at twice the speed, one over its budget, one that couldn't run."""
    budget = Budget("drop", 0.005)

    def quality(harmful: int) -> Quality:
        changes = Changes(1500, harmful, 0)
        return Quality(
            "digits",
            1500,
            "key",
            accuracy=wilson(1477 - harmful, 1500),
            agreement=wilson(1500 - harmful, 1500),
            drop=drop(changes),
            changes=changes,
        )

    def tried(
        label: str, outcome: Outcome, p50_ms: float | None, *, lost: int = 0, reason: str
    ) -> Tried:
        timed = p50_ms is not None and label != "fp32 · cpu"
        return Tried(
            label,
            label.split(" · ")[0],
            SessionChoice(),
            outcome,
            reason,
            p50_ms=_estimate(p50_ms) if p50_ms else None,
            speedup=_estimate(0.12 / p50_ms) if timed and p50_ms else None,
            quality=quality(lost) if p50_ms else None,
            verdicts=judge_all([budget], quality(lost)) if p50_ms else (),
            size_bytes=1_690_000 if label.startswith("fp32") else 432_000,
        )

    choice = Choice("int8-static", SessionChoice(threads=1), "the fastest")
    return Tuned(
        package="cnn",
        machine=machine,
        speed_key=machines.speed_key(machine),
        budgets=(budget,),
        undecided="reject",
        baseline="fp32 · cpu",
        batch=1,
        sizes={"batch": 1},
        tried=(
            tried("fp32 · cpu", "kept", 0.12, reason="the float variant in its usual session"),
            tried("int8-static · cpu · 1 thread", "chosen", 0.06, lost=1, reason="the fastest"),
            tried("int8-all · cpu", "over budget", 0.05, lost=22, reason="it loses too much"),
            tried("fp32 · openvino", "failed", None, reason="it isn't installed"),
        ),
        winner=choice,
        by_provider={"cpu": choice},
        why="int8-static is faster than float by more than noise.",
        took_s=84.2,
        time_limit_s=120.0,
        finished=True,
        data_sha256="c" * 64,
        notes=("OpenVINO is not installed.",),
        races=(bench_report().bench,),
    )


@pytest.fixture
def ranking() -> Sensitivity:
    """A ranking of three nodes, the first of which carries the loss."""

    def row(name: str, share: float) -> Row:
        noise = Noise(0.01 * share, in_db(0.01 * share), 1 - 0.01 * share)
        return Row(name, (name,), {"MatMul": 1}, noise, share, 30.0, True, 12.3, 0.1)

    return Sensitivity(
        package="cnn",
        variant="fp32",
        scheme="int8-static",
        target=Target(arch="x86_64"),
        by="node",
        rows=(row("head", 0.9), row("body", 0.07), row("stem", 0.03)),
        whole=Noise(0.02, in_db(0.02), 0.98),
        nodes=3,
        kept={},
        carriers=("head",),
        without=Noise(0.001, 30.0, 0.9995),
        float_us=60.0,
        quantized_us=30.0,
        cases=8,
        dataset="digits",
        calibrated_on=256,
        synthetic=False,
    )


@pytest.fixture
def explained(machine: Machine) -> Explained:
    """Why int8 is slower than float here, and what both reach."""

    def limit(share: float) -> Limit:
        return Limit(
            operations=4_400_000, bytes=1_900_000, limit_ms=0.03, share=share, bound="memory"
        )

    fp32 = VariantExplained(
        variant="fp32",
        label="fp32 · cpu",
        p50_ms=0.067,
        parent=None,
        parent_ms=None,
        speedup=None,
        slower=False,
        reasons=(),
        gained_us=0.0,
        limit=limit(0.45),
        top_nodes=(),
    )
    int8 = VariantExplained(
        variant="int8-static",
        label="int8-static · cpu",
        p50_ms=0.081,
        parent="fp32",
        parent_ms=0.067,
        speedup=_estimate(0.82),
        slower=True,
        reasons=(Reason("conversions", "Numbers are turned into integers.", ("a",), 7.2),),
        gained_us=0.0,
        limit=limit(0.3),
        top_nodes=(),
    )
    peaks = Peaks(
        provider="cpu",
        threads=2,
        float_gflops=180.0,
        int8_gops=610.0,
        copy_gb_s=21.0,
        copy_bytes=1 << 22,
        memory_gb_s=12.0,
        cached=True,
        rates={1 << 22: 21.0},
        how="the best of many runs",
    )
    return Explained(
        package="cnn",
        machine=machine,
        speed_key=machines.speed_key(machine),
        batch=1,
        sizes={"batch": 1},
        peaks=peaks,
        variants=(fp32, int8),
        files={},
        notes=(),
        took_s=3.0,
    )


@pytest.fixture
def known(
    package: Package,
    machine: Machine,
    bench_report: Callable[..., BenchReport],
    tuned: Tuned,
    ranking: Sensitivity,
    explained: Explained,
) -> Known:
    """All that can be known of a package on one machine."""
    return Known(
        package,
        machines.speed_key(machine),
        machine,
        benches=(bench_report(),),
        tuned=tuned,
        sensitivities=(ranking,),
        explained=explained,
        elsewhere=("another-machine",),
    )


@pytest.fixture
def bare(known: Known) -> Known:
    """The same package and machine, and nothing measured: tests add what they are about."""
    return Known(known.package, known.speed_key, known.machine)


def _estimate(value: float) -> Estimate:
    return Estimate(value, 0.95 * value, 1.06 * value, 5, "t")
