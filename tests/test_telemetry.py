"""onnxruntime sends nothing to its maker once edgekit is imported, unless that is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.workers import Call, Worker

NAME = "ORT_DISABLE_TELEMETRY"
# What its client does first: a session's number, in a file of the folder for temporary files.
TRACE = ".ses"
IMPORTS = "import edgekit, onnxruntime, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"


def run(code: str, folder: Path, **environment: str) -> str:
    # CI systems are spared by onnxruntime itself.
    plain = {k: v for k, v in os.environ.items() if k not in (NAME, "CI", "GITHUB_ACTIONS")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**plain, "TMPDIR": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    return done.stdout.strip()


def test_it_is_off_before_onnxruntime_is_loaded(tmp_path: Path) -> None:
    on, off = tmp_path / "on", tmp_path / "off"
    on.mkdir()
    off.mkdir()
    assert run(IMPORTS, off) == "1"
    assert not (off / TRACE).exists()
    run("import onnxruntime", on, ORT_DISABLE_TELEMETRY="0")
    if not (on / TRACE).exists():
        pytest.skip("this onnxruntime leaves no trace of its telemetry, or has none")


def test_what_a_user_has_set_stands(tmp_path: Path) -> None:
    assert run(IMPORTS, tmp_path, ORT_DISABLE_TELEMETRY="0") == "0"


def test_workers_have_it_off_too(
    tiny_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgekit.package.values import SessionChoice

    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.delenv("CI", raising=False)
    call = Call(
        "edgekit.runtime.runner:open_variant",
        {"path": str(tiny_package), "variant": "portable", "session": SessionChoice()},
    )
    with Worker("a worker", wall_s=60) as worker:
        worker.open(call)
    assert not (folder / TRACE).exists()
