"""What a bench leaves: raw samples first, and rows of figures that are computed from them."""

from __future__ import annotations

from typing import Any

import msgspec

from edgekit.intervals import Changes, Spread
from edgekit.machine import Machine
from edgekit.measure import statistics
from edgekit.measure.plan import Plan
from edgekit.metrics import Closeness, Estimate
from edgekit.shown import Shown
from edgekit.tensors import RunFacts
from edgekit.terms import Memory, Metric

SCHEMA_VERSION = 1
MB = 1e6


class Start(msgspec.Struct, frozen=True):
    """One fresh process: how long it took to be ready, and its rounds of durations.

    The three parts of a cold start begin when the interpreter stands: importing the runtime, or
    torch and the original's own module; loading the model, or making the module and its weights;
    and the first call, on arrays that are ready. The interpreter's own start isn't counted. The
    files have been read before, in most starts, so the disk isn't either. `peak_mb` is the highest
    resident memory of the whole process (VmHWM), in 2^20 bytes.
    """

    import_ms: float
    load_ms: float
    first_call_ms: float
    peak_mb: float | None
    warm_up_ns: list[int]
    rounds: list[list[int]]


class Quality(msgspec.Struct, frozen=True):
    """How good the answers are, on which data, measured on which kind of processor.

    `accuracy` is against labels, `agreement` against the original's answers; both are shares with
    two-sided intervals. What budgets are judged by has one-sided bounds (`edgekit.intervals`):
    `drop` is how many more of the right answers the original has, `kept_agreement` how many
    classes are the original's, `cosine` the mean over the cases of the lowest of the outputs'.
    `changes`, `agreements` and `cosines` are what those rest on; `agreements` where a case has
    many classes (a sequence), which don't change independently: it is over the shares of each.
    """

    dataset: str
    cases: int
    accuracy_key: str
    accuracy: Estimate | None = None
    agreement: Estimate | None = None
    closeness: Closeness | None = None
    synthetic: bool = False
    drop: Estimate | None = None
    kept_agreement: Estimate | None = None
    cosine: Estimate | None = None
    changes: Changes | None = None
    agreements: Spread | None = None
    cosines: Spread | None = None


class Measurement(msgspec.Struct, frozen=True):
    """Everything measured of one candidate. `against_original` is the furthest that the outputs of
    the timed runs were from the baseline's, by output, in the same rounds.
    """

    label: str
    facts: RunFacts
    starts: list[Start]
    size_bytes: int | None
    against_original: dict[str, Closeness] = {}
    mismatch: str = ""
    quality: Quality | None = None


class LeftOut(msgspec.Struct, frozen=True):
    """A row that could not be measured, and why."""

    label: str
    reason: str


class Bench(msgspec.Struct, frozen=True):
    """One interleaved run of several candidates on one feed, with its raw samples.

    `baseline` is the label that speedups are against: the original, or, as `baseline_is` says, the
    float variant where the original could not run. `originals` are the labels of the original.
    `batch` is how many rows a call carries. `files` holds the SHA-256 of the variants' files.
    `arrays` says where inputs lie before a timed call and outputs after it, in the memory of the
    host or in that of `device`, which is empty where the provider has none of its own.
    `provider_options` are those that were asked for; a provider's own defaults aren't among them.
    """

    name: str
    baseline: str
    baseline_is: str
    metric: Metric
    sizes: dict[str, int]
    batch: int
    threads: int
    machine: Machine
    plan: Plan
    measurements: list[Measurement]
    originals: list[str] = []
    left_out: list[LeftOut] = []
    notes: list[str] = []
    files: dict[str, str] = {}
    arrays: Memory = "host"
    device: str = ""
    provider_options: dict[str, str] = {}


class ColdStart(msgspec.Struct, frozen=True):
    """From a fresh interpreter to the first answer, in ms: the median start's three parts."""

    import_ms: float
    load_ms: float
    first_call_ms: float

    @property
    def total_ms(self) -> float:
        return self.import_ms + self.load_ms + self.first_call_ms


class Row(msgspec.Struct, frozen=True):
    """The figures of one candidate, as a table shows them.

    `size_mb` is in 10^6 bytes and `peak_mb` in 2^20. `cosine` and `max_abs_error` are the worst of
    the timed runs and of the held-out cases; `drop` is that of `Quality`, with one-sided bounds.
    `regression` is how many times slower it is than in a bench from before, in speedups against the
    original (`edgekit.measure.regression`), where one was given.
    """

    label: str
    is_original: bool
    provider: str
    precision: str
    p50_ms: Estimate
    p90_ms: float
    p95_ms: Estimate | None
    p99_ms: Estimate | None
    mean_ms: float
    throughput_per_s: float
    speedup: Estimate | None
    accuracy: Estimate | None
    agreement: Estimate | None
    cosine: float | None
    max_abs_error: float | None
    size_mb: float | None
    cold_ms: float
    cold_start: ColdStart
    peak_mb: float | None
    unstable: str | None
    mismatch: str
    drop: Estimate | None = None
    regression: Estimate | None = None


class BenchReport(Shown, msgspec.Struct, frozen=True):
    """A bench with its rows: what `edgekit bench --json` prints."""

    schema_version: int
    rows: list[Row]
    bench: Bench


def report(bench: Bench) -> BenchReport:
    """Compute every row's figures from the raw samples."""
    baseline = next(m for m in bench.measurements if m.label == bench.baseline)
    rows = [_row(bench, measured, baseline) for measured in bench.measurements]
    return BenchReport(SCHEMA_VERSION, rows, bench)


def figures(row: Row) -> dict[str, Any]:
    """List a row's figures by the names that gates use."""
    return {name: getattr(row, name) for name in row.__struct_fields__}


def _row(bench: Bench, measured: Measurement, baseline: Measurement) -> Row:
    durations = [start.rounds for start in measured.starts]
    quality = measured.quality
    worst = list(measured.against_original.values())
    if quality is not None and quality.closeness is not None:
        worst.append(quality.closeness)
    cold = _median_start(measured.starts)
    size_bytes = measured.size_bytes or measured.facts.weights_bytes
    peaks = [start.peak_mb for start in measured.starts if start.peak_mb is not None]
    return Row(
        label=measured.label,
        is_original=measured.label in bench.originals,
        provider=measured.facts.provider,
        precision=measured.facts.precision,
        p50_ms=statistics.p50_estimate_ms(durations),
        p90_ms=statistics.p90_ms(durations),
        p95_ms=statistics.percentile_ms(durations, 95),
        p99_ms=statistics.percentile_ms(durations, 99),
        mean_ms=statistics.mean_ms(durations),
        throughput_per_s=statistics.throughput_per_s(durations, bench.batch),
        speedup=None
        if measured is baseline
        else statistics.speedup([start.rounds for start in baseline.starts], durations),
        accuracy=quality.accuracy if quality else None,
        agreement=quality.agreement if quality else None,
        cosine=min((c.cosine for c in worst), default=None),
        max_abs_error=max((c.max_abs_error for c in worst), default=None),
        size_mb=None if size_bytes is None else size_bytes / MB,
        cold_ms=cold.total_ms,
        cold_start=cold,
        peak_mb=max(peaks, default=None),
        unstable=statistics.unstable(durations),
        mismatch=measured.mismatch,
        drop=quality.drop if quality and measured is not baseline else None,
    )


def _median_start(starts: list[Start]) -> ColdStart:
    """Take the start whose whole way to the first answer is the (lower) median."""
    colds = [ColdStart(s.import_ms, s.load_ms, s.first_call_ms) for s in starts]
    return sorted(colds, key=lambda cold: cold.total_ms)[(len(colds) - 1) // 2]
