from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgekit import cache, machine
from edgekit.measure.keeping import file_hashes, keep, kept
from edgekit.measure.results import Bench, BenchReport, Measurement, report
from edgekit.package import measured, reading

Make = Callable[..., BenchReport]
STEADY = [[[1000, 1001]] * 2] * 2


@pytest.fixture
def made(
    tiny_package: Path,
    measurement: Callable[..., Measurement],
    bench_of: Callable[..., Bench],
) -> Make:
    """Make a report of the tiny package."""

    def make(**facts: Any) -> BenchReport:
        package = reading.read(tiny_package)
        facts.setdefault("files", file_hashes(package, package.variants))
        return report(bench_of(measurement("fp32 · cpu", STEADY), **facts))

    return make


def reports(folder: Path) -> list[BenchReport]:
    found = kept(folder, reading.read(folder))
    return [one for several in found.values() for one in several]


def test_what_was_measured_lies_beside_the_package(tiny_package: Path, made: Make) -> None:
    key = machine.speed_key(machine.describe())
    assert keep(tiny_package, made()) == tiny_package / "measured" / "bench" / f"{key}.json"
    assert kept(tiny_package, reading.read(tiny_package)) == {key: [made()]}


def test_benches_under_other_conditions_are_kept_side_by_side(
    tiny_package: Path, made: Make
) -> None:
    different = [made(), made(sizes={"batch": 4}, batch=4), made(threads=2), made(arrays="device")]
    different += [made(provider_options={"NUM_STREAMS": "2"})]
    for one in different:
        keep(tiny_package, one)
    assert reports(tiny_package) == different


def test_a_newer_bench_takes_the_place_of_one_under_the_same_conditions(
    tiny_package: Path, made: Make
) -> None:
    keep(tiny_package, made(notes=["older"]))
    keep(tiny_package, made(sizes={"batch": 4}))
    keep(tiny_package, made(notes=["newer"]))
    assert [one.bench.notes for one in reports(tiny_package)] == [[], ["newer"]]


def test_a_package_that_cannot_be_written_has_its_figures_in_the_cache(
    tiny_package: Path, made: Make
) -> None:
    # A file where the folder would be: unlike permissions, that stops root as well.
    (tiny_package / "measured").write_text("")
    place = keep(tiny_package, made())
    assert place is not None
    assert place.is_relative_to(cache.folder())
    assert reports(tiny_package) == [made()]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_read_only_package_has_its_figures_in_the_cache(tiny_package: Path, made: Make) -> None:
    tiny_package.chmod(0o555)
    try:
        place = keep(tiny_package, made())
    finally:
        tiny_package.chmod(0o755)
    assert place is not None
    assert place.is_relative_to(cache.folder())


def test_a_bench_of_a_file_that_has_changed_is_not_told(tiny_package: Path, made: Make) -> None:
    keep(tiny_package, made(files={"tiny/fp32.onnx": "f" * 64}))
    assert reports(tiny_package) == []
    keep(tiny_package, made())
    assert reports(tiny_package) == [made()]


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"schema_version": 99, "reports": []}', b'{"reports": {}}', b"\xff"]
)
def test_what_cannot_be_read_is_passed_over_and_replaced(
    content: bytes, tiny_package: Path, made: Make
) -> None:
    key = machine.speed_key(machine.describe())
    measured.store(tiny_package, key, content, kind="bench")
    assert reports(tiny_package) == []
    keep(tiny_package, made())
    assert reports(tiny_package) == [made()]


def test_hashes_cover_external_data(tiny_package: Path) -> None:
    package = reading.read(tiny_package)
    record = package.files["reference.safetensors"]
    variant = msgspec.structs.replace(package.variants[0], files=("reference.safetensors",))
    assert file_hashes(package, [variant]) == {
        "tiny/fp32.onnx": package.files["fp32.onnx"].sha256,
        "tiny/reference.safetensors": record.sha256,
    }
