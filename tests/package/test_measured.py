"""What was measured lies in the package, or in the cache where the package can't be written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit import cache
from edgekit.package import measured, reading
from edgekit.package import values as v

Written = Callable[..., v.Package]


@pytest.fixture
def folder(tmp_path: Path, written: Written, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "net.edgekit"
    written(path, fp32=b"model")
    return path


def make_unwritable(folder: Path) -> None:
    """Let nothing be stored in the package, whoever asks: even root makes no folder of a file."""
    (folder / measured.FOLDER).write_text("in the way")


def test_measurements_lie_in_the_package(folder: Path) -> None:
    identity = reading.identity(folder)
    assert measured.machines(folder, kind="bench") == []
    assert measured.load(folder, "amd", kind="bench") is None
    assert (
        measured.store(folder, "amd", b"[1]", kind="bench")
        == folder / "measured" / "bench" / "amd.json"
    )
    measured.store(folder, "intel", b"[2]", kind="bench")
    measured.store(folder, "amd", b"[3]", kind="bench")
    assert measured.machines(folder, kind="bench") == ["amd", "intel"]
    assert measured.load(folder, "amd", kind="bench") == b"[3]"
    assert measured.load(folder, "arm", kind="bench") is None
    assert reading.identity(folder) == identity
    assert reading.read(folder).name == "tiny"


def test_beside_a_package_that_cannot_be_written_they_lie_in_the_cache(
    folder: Path, tmp_path: Path, written: Written
) -> None:
    make_unwritable(folder)
    place = measured.store(folder, "amd", b"[1]", kind="bench")
    assert (
        place == tmp_path / "cache" / "measured" / reading.identity(folder) / "bench" / "amd.json"
    )
    assert measured.load(folder, "amd", kind="bench") == b"[1]"
    assert measured.machines(folder, kind="bench") == ["amd"]
    written(folder, overwrite=True, fp32=b"another model")
    assert measured.load(folder, "amd", kind="bench") is None, "it is another package's"


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="root writes where nobody else may"
)
def test_a_read_only_package_keeps_its_measurements_in_the_cache(
    folder: Path, tmp_path: Path
) -> None:
    folder.chmod(0o555)
    try:
        place = measured.store(folder, "amd", b"[1]", kind="bench")
    finally:
        folder.chmod(0o755)
    assert place is not None
    assert place.is_relative_to(tmp_path / "cache")


def test_where_nothing_can_be_written_it_is_said(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_unwritable(folder)
    (tmp_path / "cache").write_text("in the way")
    assert measured.store(folder, "amd", b"[1]", kind="bench") is None
    assert f"what was measured of {folder} could not be kept" in caplog.text


def test_only_a_plain_file_of_a_right_size_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = measured.store(folder, "amd", b"[1, 2, 3]", kind="bench")
    assert path is not None
    (path.parent / "link.json").symlink_to(path)
    (path.parent / "dir.json").mkdir()
    assert measured.load(folder, "link", kind="bench") is None
    assert measured.load(folder, "dir", kind="bench") is None
    monkeypatch.setattr(measured, "MAX_BYTES", 3)
    assert measured.load(folder, "amd", kind="bench") is None


def test_a_link_in_a_package_leads_nothing_out_of_it(folder: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "intel.json").write_text("[0]")
    (folder / measured.FOLDER).symlink_to(victim)
    place = measured.store(folder, "amd", b"[1]", kind="bench")
    assert place is not None
    assert place.is_relative_to(tmp_path / "cache")
    assert [entry.name for entry in victim.iterdir()] == ["intel.json"]
    assert measured.load(folder, "intel", kind="bench") is None
    assert measured.load(folder, "amd", kind="bench") == b"[1]"


def test_what_was_measured_last_counts_wherever_it_lies(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = measured.store(folder, "amd", b"[1]", kind="bench")
    assert older is not None
    os.utime(older, (1, 1))
    monkeypatch.setattr(cache, "store", _refusing(folder, cache.store))
    newer = measured.store(folder, "amd", b"[2]", kind="bench")
    assert newer is not None
    assert not newer.is_relative_to(folder)
    assert measured.load(folder, "amd", kind="bench") == b"[2]"


def _refusing(folder: Path, store: Callable[[Path, bytes], bool]) -> Callable[[Path, bytes], bool]:
    """Write nothing into `folder`, as if it were read-only: root writes where nobody else may."""
    return lambda path, content: not path.is_relative_to(folder) and store(path, content)


def test_a_package_that_went_away_is_not_made_again(folder: Path, tmp_path: Path) -> None:
    folder.rename(tmp_path / "elsewhere")
    assert measured.store(folder, "amd", b"[1]", kind="bench") is None
    assert measured.load(folder, "amd", kind="bench") is None
    assert measured.machines(folder, kind="bench") == []
    assert not folder.exists()
