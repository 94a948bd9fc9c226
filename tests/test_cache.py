from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from edgekit import cache


def test_folder_is_the_one_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "kept"))
    assert cache.folder() == tmp_path / "kept"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEKIT_CACHE", "near")
    assert cache.folder() == tmp_path / "near"


@pytest.mark.parametrize("value", [None, ""])
def test_folder_is_the_users_own_when_the_environment_names_none(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGEKIT_CACHE", raising=False)
    if value is not None:
        monkeypatch.setenv("EDGEKIT_CACHE", value)
    assert cache.folder() == platformdirs.user_cache_path("edgekit", appauthor=False)


def test_store_makes_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.bin"
    assert cache.store(path, b"old")
    assert cache.store(path, b"new")
    assert path.read_bytes() == b"new"
    assert [found.name for found in path.parent.iterdir()] == ["b.bin"]


def test_store_says_when_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert not cache.store(tmp_path / "file" / "b.bin", b"new")


def test_store_leaves_nothing_behind_when_the_last_step_fails(tmp_path: Path) -> None:
    (tmp_path / "taken" / "by a folder").mkdir(parents=True)
    assert not cache.store(tmp_path / "taken", b"new")
    assert [found.name for found in tmp_path.iterdir()] == ["taken"]


def test_a_user_who_is_not_there_has_no_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEKIT_CACHE", "~nobody-of-this-name/cache")
    assert cache.folder() == tmp_path / "~nobody-of-this-name" / "cache"
