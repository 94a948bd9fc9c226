"""What was measured is read from where it is kept, as far as it is still about the files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgekit import machine as machines
from edgekit.errors import BadValue, NothingMeasured, UnknownName
from edgekit.machine import Machine
from edgekit.measure.keeping import file_hashes, keep
from edgekit.measure.results import BenchReport
from edgekit.measure.slowness.values import Explained
from edgekit.package import measured, reading
from edgekit.quantize.searching.keeping import keep_sensitivity
from edgekit.quantize.searching.ranking import Sensitivity
from edgekit.report.evidence import gather, gather_all
from edgekit.tune.results import Tuned


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def here() -> Machine:
    return machines.describe()


@pytest.fixture
def bench(tiny_package: Path, bench_report: Callable[..., BenchReport]) -> BenchReport:
    package = reading.read(tiny_package)
    return bench_report(files=file_hashes(package, package.variants))


def on(report: BenchReport, machine: Machine) -> BenchReport:
    bench = msgspec.structs.replace(report.bench, machine=machine)
    return msgspec.structs.replace(report, bench=bench)


def test_without_evidence_it_is_said_what_to_run(tiny_package: Path) -> None:
    with pytest.raises(
        NothingMeasured, match=r"Run 'edgekit bench .*tiny\.edgekit' or 'edgekit tu"
    ):
        gather(tiny_package)
    assert gather_all(tiny_package) == ()


def test_everything_that_is_kept_is_found(
    tiny_package: Path,
    bench: BenchReport,
    tuned: Tuned,
    ranking: Sensitivity,
    explained: Explained,
    here: Machine,
) -> None:
    key = machines.speed_key(here)
    files = bench.bench.files
    bench = on(bench, here)
    tuned = msgspec.structs.replace(tuned, files=files, machine=here)
    explained = msgspec.structs.replace(explained, files=files, machine=here)
    keep(tiny_package, bench)
    keep_sensitivity(tiny_package, reading.read(tiny_package), ranking)
    measured.store(tiny_package, key, msgspec.json.encode(tuned), kind="tune")
    measured.store(tiny_package, key, msgspec.json.encode(explained), kind="explanation")
    known = gather(tiny_package)
    assert (known.speed_key, known.machine, known.elsewhere) == (key, here, ())
    assert (known.benches, known.sensitivities) == ((bench,), (ranking,))
    assert (known.tuned, known.explained) == (tuned, explained)


def test_what_is_about_other_files_is_left_out(
    tiny_package: Path, bench: BenchReport, tuned: Tuned, explained: Explained, here: Machine
) -> None:
    key = machines.speed_key(here)
    keep(tiny_package, on(bench, here))
    other = dict.fromkeys(bench.bench.files, "f" * 64)
    for kind, result in (("tune", tuned), ("explanation", explained)):
        content = msgspec.json.encode(msgspec.structs.replace(result, files=other))
        measured.store(tiny_package, key, content, kind=kind)  # type: ignore[arg-type]
    known = gather(tiny_package)
    assert (known.tuned, known.explained) == (None, None)
    assert len(known.benches) == 1


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"package": 1}'])
def test_what_cannot_be_read_is_passed_over(content: bytes, tiny_package: Path) -> None:
    measured.store(tiny_package, "some-machine", content, kind="tune")
    measured.store(tiny_package, "some-machine", content, kind="explanation")
    with pytest.raises(NothingMeasured):
        gather(tiny_package)


def test_this_machine_is_shown_before_others(
    tiny_package: Path, bench: BenchReport, here: Machine, machine: Machine
) -> None:
    other = machines.speed_key(machine)
    keep(tiny_package, bench)
    assert gather(tiny_package).speed_key == other  # the only one
    keep(tiny_package, on(bench, here))
    known = gather(tiny_package)
    assert (known.machine, known.elsewhere) == (here, (other,))
    assert gather(tiny_package, machine=other).machine == machine
    assert len(gather_all(tiny_package)) == 2


def test_one_of_several_other_machines_must_be_named(
    tiny_package: Path, bench: BenchReport, machine: Machine
) -> None:
    others = [machine, msgspec.structs.replace(machine, cores=4)]
    for other in others:
        keep(tiny_package, on(bench, other))
    keys = sorted(map(machines.speed_key, others))
    with pytest.raises(BadValue, match=f"one of {', '.join(keys)}"):
        gather(tiny_package)
    assert gather(tiny_package, machine=keys[1]).speed_key == keys[1]
    with pytest.raises(UnknownName, match="no machine 'mine' that this package was measured on"):
        gather(tiny_package, machine="mine")
