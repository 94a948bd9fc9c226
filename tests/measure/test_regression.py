"""A bench against one from before."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgekit.errors import BadValue, NotFound
from edgekit.measure.regression import against_before, ratio, read_baseline
from edgekit.measure.results import Bench, BenchReport, Measurement, report
from edgekit.metrics import Estimate

Make = Callable[..., BenchReport]


@pytest.fixture
def made(measurement: Callable[..., Measurement], bench_of: Callable[..., Bench]) -> Make:
    """Make the report of a bench in which `ours` is `times` as fast as the original."""

    def make(times: float = 2.0, **facts: Any) -> BenchReport:
        original = measurement("PyTorch eager", [[[1000, 1001]] * 2] * 3)
        ours = measurement("ours", [[[round(1000 / times)] * 2] * 2] * 3)
        return report(bench_of(original, ours, originals=["PyTorch eager"], **facts))

    return make


def test_a_row_is_held_against_its_own_before(made: Make) -> None:
    now, before = made(times=2.0), made(times=2.5)
    original, ours = against_before(now, [before]).rows
    assert original.regression is None
    assert ours.regression is not None
    assert ours.regression.value == pytest.approx(1.25, rel=0.01)
    assert ours.regression.low <= 1.25 <= ours.regression.high


def test_a_row_that_is_new_has_none(made: Make) -> None:
    now = made()
    ours = now.rows[1]
    now = msgspec.structs.replace(now, rows=[*now.rows, msgspec.structs.replace(ours, label="new")])
    found = [row.regression is None for row in against_before(now, [made()]).rows]
    assert found == [True, False, True]


def test_without_a_row_in_common_there_is_nothing_to_compare(made: Make) -> None:
    before = made()
    before = msgspec.structs.replace(before, rows=before.rows[:1])
    with pytest.raises(BadValue, match="it has the rows PyTorch eager: expected one with ours"):
        against_before(made(), [before])


def test_a_baseline_alone_cannot_have_become_slower(made: Make) -> None:
    alone = made()
    alone = msgspec.structs.replace(alone, rows=alone.rows[:1])
    with pytest.raises(BadValue, match="expected rows beside the one that speedups are against"):
        against_before(alone, [made()])


def test_the_bench_under_the_same_conditions_counts(made: Make) -> None:
    several = [made(2.0, sizes={"batch": 4}), made(3.0), made(2.0, threads=2)]
    found = against_before(made(2.0), several).rows[1].regression
    assert found is not None
    assert found.value == pytest.approx(1.5, rel=0.01)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"sizes": {"batch": 4}}, "sizes batch 4 and now batch 1"),
        ({"threads": 8}, "threads 8 and now 1"),
        ({"arrays": "device"}, "arrays device and now host"),
        ({"provider_options": {"a": "1"}}, "the provider's options a 1 and now none"),
        ({"name": "other"}, "the model other and now tiny"),
    ],
)
def test_other_conditions_are_refused_by_name(facts: dict[str, Any], said: str, made: Make) -> None:
    with pytest.raises(BadValue, match=said):
        against_before(made(), [made(**facts)])


def test_the_interval_of_a_ratio_holds_as_often_as_it_says() -> None:
    """Of two estimates that are normal on a logarithmic scale, each with its own 95 % interval."""
    random = np.random.default_rng(0)

    def estimate(truth: float, deviation: float) -> Estimate:
        log = math.log(truth) + deviation * random.standard_normal()
        low, high = (math.exp(log + sign * 1.96 * deviation) for sign in (-1, 1))
        return Estimate(math.exp(log), low, high, 5, "")

    held = 0
    for _ in range(1000):
        found = ratio(estimate(3.0, 0.1), estimate(2.0, 0.03))
        held += found.low <= 1.5 <= found.high
    assert 930 <= held <= 970


def test_what_a_bench_printed_is_read(made: Make, tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_bytes(msgspec.json.encode(made()))
    assert read_baseline(path) == (made(),)
    path.write_bytes(msgspec.json.encode([made(), made(threads=2)]))
    assert read_baseline(path) == (made(), made(threads=2))


def test_another_kind_of_machine_is_refused(made: Make, tmp_path: Path) -> None:
    old = made()
    elsewhere = msgspec.structs.replace(old.bench.machine, cpu="Another", cores=64)
    bench = msgspec.structs.replace(old.bench, machine=elsewhere)
    path = tmp_path / "old.json"
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(old, bench=bench)))
    with pytest.raises(BadValue, match=r"measured on another-.*a bench of this kind of machine"):
        read_baseline(path)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[1]", b'{"schema_version": 1}'])
def test_what_is_no_bench_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_bytes(content)
    with pytest.raises(BadValue, match="what 'edgekit bench --json' printed"):
        read_baseline(path)


def test_another_form_and_no_file_are_refused(made: Make, tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(made(), schema_version=99)))
    with pytest.raises(BadValue, match="the form 1"):
        read_baseline(path)
    with pytest.raises(NotFound):
        read_baseline(tmp_path / "none.json")
