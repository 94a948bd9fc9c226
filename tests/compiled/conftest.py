"""A cache folder of the test's own, and things that were built into it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Protocol

import msgspec
import pytest

from edgekit.compiled import keys
from edgekit.compiled.building import prepared
from edgekit.compiled.keys import CompileKey, place_of
from edgekit.compiled.prepared import Prepared


class MakeKey(Protocol):
    def __call__(
        self, provider: str = "tensorrt", model: str = "ab" * 32, driver: str | None = None
    ) -> CompileKey: ...


class Keep(Protocol):
    """Keep something built so many days ago; its private folder is still there."""

    def __call__(
        self, of: CompileKey, *, size: int = 1000, days: float = 0.0, label: str = ""
    ) -> Prepared: ...


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test's own cache folder, which isn't there yet."""
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def key() -> MakeKey:
    def make(
        provider: str = "tensorrt", model: str = "ab" * 32, driver: str | None = None
    ) -> CompileKey:
        here = keys.surroundings(("numpy",))
        where = here if driver is None else msgspec.structs.replace(here, driver=driver)
        return CompileKey(provider, model, {}, {}, "all", where)

    return make


@pytest.fixture
def keep(top: Path) -> Keep:
    del top  # set before anything is kept

    def kept(of: CompileKey, *, size: int = 1000, days: float = 0.0, label: str = "") -> Prepared:
        def fill(folder: Path) -> None:
            (folder / "a.engine").write_bytes(b"x" * size)

        done = prepared(of, fill, label=label)
        past = time.time() - days * 86_400
        os.utime(place_of(of) / "key.json", (past, past))
        return done

    return kept
