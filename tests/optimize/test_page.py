"""docs/optimize.md: what it shows runs as it stands, on the reference CNN."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.package import reading
from edgekit.terms import Pass, members

PAGE = Path(__file__).parents[2] / "docs" / "optimize.md"
_FENCE = re.compile(r"^```(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.timeout(600)
def test_the_examples_of_the_page_run(cnn_package: Path, tmp_path: Path) -> None:
    shutil.copytree(cnn_package, tmp_path / "cnn.edgekit")
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": os.pathsep.join([scripts, os.environ["PATH"]])}
    for language, body in _FENCE.findall(PAGE.read_text(encoding="utf-8")):
        command = {"python": [sys.executable, "-c"], "bash": ["bash", "-euc"]}[language]
        done = subprocess.run(
            [*command, body],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{body}\n{done.stdout}{done.stderr}"
    made = [variant.name for variant in reading.read(tmp_path / "cnn.edgekit").variants]
    assert made == ["fp32", "batch-1", "by-ort"]


@pytest.mark.parametrize("name", members(Pass))
def test_every_pass_is_on_the_page(name: Pass) -> None:
    assert f"| `{name}` |" in PAGE.read_text(encoding="utf-8")
