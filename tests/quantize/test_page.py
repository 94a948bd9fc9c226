"""docs/quantize.md: what it shows runs as it stands, on the reference CNN."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.package import reading
from edgekit.quantize.scheme import find
from edgekit.terms import Scheme, members

pytest.importorskip("onnx", reason="models are converted with onnx")

PAGE = Path(__file__).parents[2] / "docs" / "quantize.md"
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
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, f"{body}\n{done.stdout}{done.stderr}"
    made = [variant.name for variant in reading.read(tmp_path / "cnn.edgekit").variants]
    assert made == ["fp32", "int8-static", "int8-entropy"]


@pytest.mark.parametrize("name", members(Scheme))
def test_every_scheme_and_what_it_heeds_is_on_the_page(name: Scheme) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert f"`{name}`" in page
    for setting in set(find(name).takes) - {"method", "block_size"}:
        assert f"--{setting.replace('_', '-')}".replace("--bias", "--no-bias") in page
