"""The roofline: the longer of computing and moving, summed up over nodes."""

from __future__ import annotations

import pytest

from edgekit.graph.work import Work
from edgekit.measure.roofline.limits import bound_of, limit_of, parts_us, peaks_for, rate_at
from edgekit.measure.roofline.rates import MachinePeaks

MEASURED = MachinePeaks(
    provider="cpu",
    threads=2,
    float_gflops=100.0,
    int8_gops=400.0,
    copy_gb_s={1 << 20: 80.0, 1 << 22: 40.0, 1 << 27: 10.0},
    how="made up",
)


@pytest.mark.parametrize(
    ("nbytes", "rate"),
    [(1, 80.0), (1 << 20, 80.0), (1 << 21, 60.0), (1 << 27, 10.0), (1 << 30, 10)],
)
def test_a_rate_is_read_off_between_those_measured(nbytes: int, rate: float) -> None:
    assert rate_at(MEASURED.copy_gb_s, nbytes) == pytest.approx(rate)


def test_without_rates_there_is_none() -> None:
    assert rate_at({}, 5) is None


def test_a_small_model_lies_in_caches() -> None:
    small, large = peaks_for(MEASURED, 1 << 20), peaks_for(MEASURED, 1 << 28)
    assert (small.copy_gb_s, small.cached, small.memory_gb_s) == (80.0, True, 10.0)
    assert (large.copy_gb_s, large.cached, large.copy_bytes) == (10.0, False, 1 << 28)


def test_a_node_takes_the_longer_of_its_two_parts() -> None:
    peaks = peaks_for(MEASURED, 1 << 20)
    # 2·10^6 operations at 100 GFLOP/s, 80 kB at 80 GB/s
    assert parts_us(Work(2_000_000, 80_000), peaks) == pytest.approx((20.0, 1.0))
    assert parts_us(Work(2_000_000, 80_000, "int8"), peaks) == pytest.approx((5.0, 1.0))
    assert bound_of(Work(2_000_000, 80_000), peaks) == "compute"
    assert bound_of(Work(2_000, 80_000), peaks) == "memory"


def test_weights_come_from_where_the_whole_model_lies() -> None:
    peaks = peaks_for(MEASURED, 1 << 27)
    values, weights = Work(0, 80_000), Work(0, 80_000, constant_bytes=80_000)
    assert parts_us(values, peaks)[1] == pytest.approx(1.0)
    assert parts_us(weights, peaks)[1] == pytest.approx(8.0)


def test_limits_are_summed_and_the_larger_part_names_the_bound() -> None:
    peaks = peaks_for(MEASURED, 1 << 20)
    works = [Work(2_000_000, 80_000), Work(1_000, 800_000), Work(0, 0)]
    found = limit_of(works, peaks, took_ms=0.1, uncounted=["odd"])
    assert found.limit_ms == pytest.approx(0.030)
    assert found.share == pytest.approx(0.30)
    assert (found.bound, found.operations, found.bytes) == ("compute", 2_001_000, 880_000)
    assert found.uncounted == ("odd",)


@pytest.mark.parametrize(
    ("now", "slowed", "outdone"),
    [(None, False, False), (97.0, False, False), (55.0, True, False), (130.0, False, True)],
)
def test_what_the_machine_does_now_is_held_against_its_peak(
    now: float | None, slowed: bool, outdone: bool
) -> None:
    peaks = peaks_for(MEASURED, 1 << 20, float_now_gflops=now)
    assert (peaks.slowed, peaks.outdone) == (slowed, outdone)


def test_what_is_not_measured_bounds_nothing() -> None:
    none = MachinePeaks("openvino", 2, None, None, {}, "not measured")
    peaks = peaks_for(none, 100)
    assert (peaks.copy_gb_s, peaks.memory_gb_s, peaks.cached) == (None, None, False)
    found = limit_of([Work(1000, 1000)], peaks, took_ms=1.0)
    assert (found.limit_ms, found.share) == (0.0, 0.0)
