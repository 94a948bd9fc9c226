from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Installed = Callable[[dict[str, str]], None]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    """Let the given distributions, and no others, seem installed."""

    def fake(versions: dict[str, str]) -> None:
        folder = tmp_path / "site"
        for name, version in versions.items():
            info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
        rest = [path for path in sys.path if not any(Path(path).glob("*-info"))]
        monkeypatch.setattr(sys, "path", [str(folder), *rest])

    return fake
