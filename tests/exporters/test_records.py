from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgekit.errors import OriginalUnavailable
from edgekit.package import reading
from edgekit.package.values import Package
from exporters import records
from exporters.requests import TargetRequest

REQUEST = TargetRequest(
    "hf:tiny",
    "/somewhere",
    {"width": "3"},
    seed=4,
    task="features",
    pretrained=True,
    weights="w.safetensors",
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def package(tiny_package: Path) -> Package:
    return reading.read(tiny_package)


def with_provenance(package: Package, **changes: object) -> Package:
    provenance = msgspec.structs.replace(package.provenance, **changes)
    return msgspec.structs.replace(package, provenance=provenance)


def test_a_remembered_target_is_recalled_whole(package: Package) -> None:
    records.remember(package, REQUEST)
    assert records.recall(package) == REQUEST


def test_a_package_that_changed_elsewhere_is_still_the_same_original_s(package: Package) -> None:
    records.remember(package, REQUEST)
    assert records.recall(msgspec.structs.replace(package, variants=(), files={})) == REQUEST


@pytest.mark.parametrize(
    "changes",
    [
        {"weights_sha256": "1" * 64},
        {"source": "other.py:make"},  # a module without weights has the same hash as any other
        {"parameters": {"width": "4"}},
        {"seed": 1},
        {"task": "text-generation"},
        {"pretrained": True},
    ],
)
def test_nothing_is_recalled_for_other_weights_or_another_maker(
    changes: dict[str, object], package: Package
) -> None:
    records.remember(package, REQUEST)
    with pytest.raises(OriginalUnavailable, match="name it with --original TARGET"):
        records.recall(with_provenance(package, **changes))


def test_a_damaged_record_is_as_good_as_none(package: Package, own_cache: Path) -> None:
    records.remember(package, REQUEST)
    (file,) = (own_cache / "originals").iterdir()
    file.write_text('{"target": 3}')
    with pytest.raises(OriginalUnavailable):
        records.recall(package)


def test_a_cache_that_cannot_be_written_is_told_and_no_error(
    package: Package, own_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own_cache.write_text("a file where a folder must be")
    records.remember(package, REQUEST)
    assert f"the cache folder {own_cache} can't be written" in caplog.text
