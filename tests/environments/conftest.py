"""Second environments: other packages beside edgekit than those that run the tests.

Each is made by pip, once a run, in pytest's own folder, from the index that pip is configured for
on this machine. What all of them need lies in one more folder that each has on its path.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
BESIDE = ("click", "filelock", "msgspec", "numpy", "platformdirs", "psutil", "rich", "safetensors")
TESTING = ("hypothesis", "onnx", "pytest", "pytest-timeout")
UNREACHED = ("could not find a version", "no matching distribution", "connection", "timed out")

Make = Callable[..., "Environment"]


@dataclass(frozen=True)
class Environment:
    """A Python with its own packages, in which this checkout's edgekit is imported."""

    python: Path

    def run(
        self, *arguments: str | Path, hide_gpus: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run its Python, by default as on a machine without a GPU."""
        kept = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONHOME")}
        given = {"PYTHONPATH": str(PROJECT), "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1"}
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if hide_gpus else {}
        return subprocess.run(
            [self.python, *map(str, arguments)],
            env=kept | given | hidden,
            capture_output=True,
            text=True,
            check=False,
            timeout=110,
        )

    def edgekit(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run the command line."""
        return self.run("-c", "from edgekit.cli.main import main; main()", *arguments)


@pytest.fixture(scope="session")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install what edgekit and its tests need besides an onnxruntime, for all environments."""
    folder = tmp_path_factory.mktemp("beside")
    _pip("install", "--target", str(folder), *BESIDE, *TESTING)
    return folder


@pytest.fixture(scope="session")
def make_environment(beside: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Make an environment with the given packages, without what these would bring themselves."""

    def make(*packages: str, at_once: bool = False) -> Environment:
        folder = tmp_path_factory.mktemp("environment")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
        (site / "beside.pth").write_text(f"{beside}\n")
        # One by one, unless asked: pip would notice what is to be noticed here.
        for wanted in [packages] if at_once else [(package,) for package in packages]:
            _pip("--python", str(python), "install", "--no-deps", *wanted)
        return Environment(python)

    return make


def _pip(*arguments: str) -> None:
    """Run pip; skip, with what it said, where it reaches no index that has the packages."""
    if importlib.util.find_spec("pip") is None:
        pytest.skip("there is no pip to make environments with")
    options = ("--quiet", "--disable-pip-version-check", "--no-input", "--only-binary", ":all:")
    patience = ("--retries", "0", "--timeout", "15")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip", *arguments, *options, *patience, "--no-compile"],
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"pip takes longer than 200 s for {arguments[-1]}")
    if done.returncode:
        said = done.stderr.strip()
        if any(words in said.lower() for words in UNREACHED):
            pytest.skip(f"pip reaches no index with these packages: {said.splitlines()[-1]}")
        pytest.fail(said)
