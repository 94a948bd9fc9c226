from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import msgspec
import numpy as np
import pytest

from edgekit.intervals import Changes, drop
from edgekit.measure.results import (
    Bench,
    BenchReport,
    ColdStart,
    Measurement,
    Quality,
    figures,
    report,
)
from edgekit.metrics import Closeness, wilson
from edgekit.tensors import RunFacts
from edgekit.terms import GateMetric

MakeMeasurement = Callable[..., Measurement]
MakeBench = Callable[..., Bench]

generator = np.random.default_rng(0)


def samples(around_ns: int, *, starts: int = 5, rounds: int = 4, calls: int = 30) -> list[Any]:
    spread = generator.normal(around_ns, around_ns / 50, (starts, rounds, calls))
    return [[[int(ns) for ns in one] for one in start] for start in spread]


def test_speedup_is_the_ratio_of_this_runs_samples(
    measurement: MakeMeasurement, bench_of: MakeBench
) -> None:
    slow, fast = samples(300_000), samples(100_000)
    rows = report(bench_of(measurement("original", slow), measurement("fp32", fast))).rows
    ratios = [
        np.median([np.median(a) / np.median(b) for a, b in zip(*pair, strict=True)])
        for pair in zip(slow, fast, strict=True)
    ]
    assert rows[0].speedup is None
    assert rows[1].speedup is not None
    assert rows[1].speedup.value == pytest.approx(float(np.median(ratios)), rel=1e-12)
    assert rows[1].speedup.low < rows[1].speedup.value < rows[1].speedup.high
    assert rows[1].speedup.n == 5


def test_figures_are_computed_from_all_samples(
    measurement: MakeMeasurement, bench_of: MakeBench
) -> None:
    raw = samples(2_000_000)
    pooled = np.concatenate([round_ for start in raw for round_ in start]) / 1e6
    row = report(bench_of(measurement("a", raw, size_bytes=2_500_000), batch=8)).rows[0]
    assert row.p50_ms.value == pytest.approx(float(np.median(pooled)))
    assert row.mean_ms == pytest.approx(float(pooled.mean()))
    assert row.throughput_per_s == pytest.approx(8000 / float(pooled.mean()))
    assert row.p90_ms == pytest.approx(np.sort(pooled)[int(np.ceil(0.9 * pooled.size)) - 1])
    assert row.size_mb == 2.5
    assert row.peak_mb == 54.0  # the highest of the starts


def test_cold_start_is_one_whole_start_the_median_one(
    measurement: MakeMeasurement, bench_of: MakeBench
) -> None:
    row = report(bench_of(measurement("a", samples(1000)))).rows[0]
    assert row.cold_start == ColdStart(102.0, 2.0, 3.0)
    assert row.cold_ms == row.cold_start.total_ms == 107.0


@pytest.mark.parametrize(
    ("calls", "p95", "p99"), [(2, False, False), (5, True, False), (20, True, True)]
)
def test_p95_and_p99_stand_only_where_there_are_samples_enough(
    calls: int, p95: bool, p99: bool, measurement: MakeMeasurement, bench_of: MakeBench
) -> None:
    row = report(bench_of(measurement("a", samples(1000, calls=calls)))).rows[0]
    assert (row.p95_ms is not None, row.p99_ms is not None) == (p95, p99)
    for estimate in (row.p95_ms, row.p99_ms):
        if estimate is not None:
            assert estimate.low <= estimate.value <= estimate.high


def test_an_unstable_timing_says_so(measurement: MakeMeasurement, bench_of: MakeBench) -> None:
    steady = [[[1_000_000] * 9] * 4] * 5
    shaken = [[[1_000_000 * (1 + n % 2)] * 9 for n in range(4)]] * 5
    rows = report(bench_of(measurement("a", steady), measurement("b", shaken))).rows
    assert rows[0].unstable is None
    assert rows[1].unstable is not None
    assert "within a process" in rows[1].unstable


def test_distance_is_the_worst_of_timed_runs_and_held_out_cases(
    measurement: MakeMeasurement, bench_of: MakeBench
) -> None:
    quality = Quality("digits", 9, "key", wilson(8, 9), wilson(9, 9), Closeness(3.0, 1, 0.9, 40))
    timed = {"y": Closeness(1.0, 1, 0.8, 50), "z": Closeness(2.0, 1, 0.99, 50)}
    row = report(
        bench_of(
            measurement("a", samples(1000)),
            measurement("b", samples(1000), quality=quality, against_original=timed),
        )
    ).rows[1]
    assert (row.max_abs_error, row.cosine) == (3.0, 0.8)
    assert (row.accuracy, row.agreement) == (wilson(8, 9), wilson(9, 9))


def test_a_drop_is_told_of_all_but_the_baseline(
    measurement: MakeMeasurement, bench_of: MakeBench
) -> None:
    lost = drop(Changes(9, 2, 1))
    quality = Quality("digits", 9, "key", drop=lost, changes=Changes(9, 2, 1))
    rows = report(
        bench_of(
            measurement("a", samples(1000), quality=quality),
            measurement("b", samples(1000), quality=quality),
        )
    ).rows
    assert [row.drop for row in rows] == [None, lost]


def test_an_original_is_marked_and_its_weights_are_its_size(
    measurement: MakeMeasurement, bench_of: MakeBench
) -> None:
    facts = RunFacts("pytorch eager", "fp32", 2, weights_bytes=4_000_000)
    bench = bench_of(
        measurement("eager", samples(1000), facts=facts),
        measurement("fp32", samples(1000)),
        originals=["eager"],
    )
    original, variant = report(bench).rows
    assert (original.is_original, original.size_mb, original.provider) == (
        True,
        4.0,
        "pytorch eager",
    )
    assert (variant.is_original, variant.size_mb) == (False, None)


def test_a_report_is_the_same_after_json(measurement: MakeMeasurement, bench_of: MakeBench) -> None:
    made = report(bench_of(measurement("a", samples(1000)), measurement("b", samples(2000))))
    assert msgspec.json.decode(msgspec.json.encode(made), type=BenchReport) == made


def test_every_gate_finds_its_figure(measurement: MakeMeasurement, bench_of: MakeBench) -> None:
    row = report(bench_of(measurement("a", samples(1000)))).rows[0]
    assert set(get_args(GateMetric)) <= set(figures(row))
