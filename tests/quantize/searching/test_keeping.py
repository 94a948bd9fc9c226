"""What sensitivity found is kept beside the package, and read as long as it is about its files."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgekit import machine as machines
from edgekit.package import measured, reading
from edgekit.package.values import Target
from edgekit.quantize.searching.evaluation import Noise
from edgekit.quantize.searching.keeping import keep_sensitivity, kept_sensitivities
from edgekit.quantize.searching.ranking import Sensitivity

KEY = machines.speed_key(machines.describe())


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def found() -> Sensitivity:
    return Sensitivity(
        package="tiny",
        variant="fp32",
        scheme="int8-static",
        target=Target(),
        by="node",
        rows=(),
        whole=Noise(0.0, None, 1.0),
        nodes=0,
        kept={},
        carriers=(),
        without=None,
        float_us=None,
        quantized_us=None,
        cases=8,
        dataset="cases",
        calibrated_on=8,
        synthetic=False,
    )


def kept(folder: Path) -> tuple[Sensitivity, ...]:
    return kept_sensitivities(folder, reading.read(folder), KEY)


def test_the_last_of_each_kind_is_kept(tiny_package: Path, found: Sensitivity) -> None:
    package = reading.read(tiny_package)
    grouped = msgspec.structs.replace(found, by="group")
    newer = msgspec.structs.replace(found, cases=16)
    for one in (found, grouped, newer):
        keep_sensitivity(tiny_package, package, one)
    assert kept(tiny_package) == (grouped, newer)
    assert (tiny_package / "measured" / "sensitivity" / f"{KEY}.json").is_file()


def test_one_of_a_file_that_has_changed_is_not_told(tiny_package: Path, found: Sensitivity) -> None:
    package = reading.read(tiny_package)
    record = msgspec.structs.replace(package.files["fp32.onnx"], sha256="f" * 64)
    changed = msgspec.structs.replace(package, files={**package.files, "fp32.onnx": record})
    keep_sensitivity(tiny_package, changed, found)
    assert kept(tiny_package) == ()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"schema_version": 99, "found": []}', b"\xff"])
def test_what_cannot_be_read_is_passed_over_and_replaced(
    content: bytes, tiny_package: Path, found: Sensitivity
) -> None:
    measured.store(tiny_package, KEY, content, kind="sensitivity")
    assert kept(tiny_package) == ()
    keep_sensitivity(tiny_package, reading.read(tiny_package), found)
    assert kept(tiny_package) == (found,)
