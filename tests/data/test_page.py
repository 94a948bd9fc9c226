"""docs/data.md: what it shows runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.timeout(600)
def test_the_example_of_the_page_runs(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the page exports a module")
    pytest.importorskip("pyarrow", reason="the page writes Parquet")
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": os.pathsep.join([scripts, os.environ["PATH"]])}
    said: list[str] = []
    for language, body in _FENCE.findall(PAGE.read_text(encoding="utf-8")):
        named = re.match(r"# (\w+\.py)\n", body)
        if named is not None:
            (tmp_path / named[1]).write_text(body, encoding="utf-8")
            continue
        if body.startswith("pip install"):
            continue
        quick = body.replace("edgekit bench ", "edgekit bench --starts 2 --rounds 1 ")
        command = {"python": [sys.executable, "-c", body], "bash": ["bash", "-euc", quick]}
        done = subprocess.run(
            command[language],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, f"{body}\n{done.stdout}{done.stderr}"
        said.append(done.stdout)
    own, factory, table, python = [text for text in said if text]
    assert "200 held-out cases of held-out.npz, 256 calibration cases of train.npz" in own
    assert "160 held-out cases of points.py:held_out" in factory
    assert "200 held-out cases of held-out.parquet" in table
    assert all("100.0 % [" in text for text in (own, factory, table))
    assert python == "200 (1, 2)\n"
