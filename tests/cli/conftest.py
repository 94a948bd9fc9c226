"""The command line as its users have it: a process, its streams and its exit code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import click
import msgspec
import pytest

from edgekit.report.documents import DOCUMENTS

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
COMMAND = (sys.executable, "-c", "from edgekit.cli.main import main; main()")


class RunEdgekit(Protocol):
    def __call__(
        self, *arguments: str | Path, **given: Any
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What a command's process finds in its environment: no terminal's width, no colour's wish."""
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return dict(os.environ)


@pytest.fixture
def edgekit(tmp_path: Path, environment: dict[str, str]) -> RunEdgekit:
    """Run `edgekit` in the test's own folder; keywords are those of `subprocess.run`."""

    def run(*arguments: str | Path, **given: Any) -> subprocess.CompletedProcess[str]:
        options: dict[str, Any] = {"cwd": tmp_path, "capture_output": True, "timeout": 100}
        options |= given
        options["env"] = environment | options.get("env", {})
        return subprocess.run([*COMMAND, *map(str, arguments)], text=True, check=False, **options)

    return run


@pytest.fixture
def without_torch(tmp_path: Path) -> dict[str, str]:
    """An environment in which torch isn't installed, in workers too."""
    shim = tmp_path / "no-torch"
    shim.mkdir()
    (shim / "torch.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n"
    )
    return {"PYTHONPATH": str(shim)}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run a command in this process, in the test's own folder, and return its exit code."""
    from edgekit.cli.main import run

    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run([str(argument) for argument in arguments])


@pytest.fixture
def document() -> Callable[[str, str], Any]:
    """Decode what a command printed, strictly, and hold it to its schema in docs/schemas."""
    jsonschema = pytest.importorskip("jsonschema")

    def decode(command: str, text: str) -> Any:
        schema = json.loads((SCHEMAS / f"{command}.json").read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator(schema).validate(json.loads(text))
        return msgspec.json.decode(text, type=DOCUMENTS[command], strict=True)

    return decode


@pytest.fixture
def stated_defaults() -> Callable[[str], dict[str, str]]:
    """Read the defaults that a command's help states, by option; click itself has none."""
    from edgekit.cli.main import cli

    def stated(name: str) -> dict[str, str]:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        found: dict[str, str] = {}
        for option in command.params:
            if isinstance(option, click.Option) and option.name is not None:
                assert not option.to_info_dict()["default"]
                if match := re.search(r"\[default: ([^\]]+)\]", option.help or ""):
                    found[option.name] = match[1]
        return found

    return stated
