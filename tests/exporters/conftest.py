"""Factory files, and exports of tiny modules in this process: half a second each."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

pytest.importorskip("torch", reason="exporters is the room that needs torch")

from edgekit.package.values import SessionChoice
from edgekit.runtime.loading import open_model
from edgekit.runtime.model import Model
from exporters.attempt import attempt
from exporters.exportable import Exportable
from exporters.requests import Attempt, ExportOptions, TargetRequest

WriteFile = Callable[..., Path]


@pytest.fixture
def write_file(tmp_path: Path) -> WriteFile:
    """Write a Python file into a folder of its own, and return its path."""

    def write(text: str, name: str = "net.py", folder: str = "made") -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    return write


@pytest.fixture
def request_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., TargetRequest]]:
    """Ask for a factory of a file; afterwards this process forgets what running it left."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def make(path: Path, factory: str = "make", **parameters: str) -> TargetRequest:
        return TargetRequest(f"{path.name}:{factory}", str(path.parent), parameters)

    yield make
    for name in sys.modules.keys() - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@dataclass(frozen=True)
class Attempted:
    """An attempt, and the folder with what it left."""

    done: Attempt
    folder: Path

    def open(self) -> Model:
        return open_model(self.folder / self.done.model, "portable", SessionChoice())


class AttemptHere(Protocol):
    def __call__(self, module: Any, example: Any = None, **given: Any) -> Attempted: ...


@pytest.fixture
def attempt_here(tmp_path: Path) -> AttemptHere:
    """Export a module in this process. `options` is what `ExportOptions` takes; the rest is
    `Exportable`'s.
    """
    made = 0

    def run(
        module: Any,
        example: Any = None,
        *,
        options: dict[str, Any] | None = None,
        seed: int = 0,
        **given: Any,
    ) -> Attempted:
        nonlocal made
        made += 1
        folder = tmp_path / f"attempt-{made}"
        folder.mkdir()
        exportable = Exportable(module, example, **given)
        done = attempt(
            exportable, ExportOptions(**(options or {})), folder, parameters={}, seed=seed
        )
        return Attempted(done, folder)

    return run
