"""docs/report.md: what it shows runs as it stands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "report.md"
_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_blocks_of_the_page_run(tmp_path: Path, tiny_package: Path) -> None:
    pytest.importorskip("matplotlib", reason="the page makes a report with plots")
    shutil.copytree(tiny_package, tmp_path / "twin.edgekit")
    shutil.move(tiny_package, tmp_path / "net.edgekit")
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": os.pathsep.join([scripts, os.environ["PATH"]])}
    for language, body in _FENCE.findall(PAGE.read_text(encoding="utf-8")):
        if body.startswith("pip install"):
            continue
        # The package is there: how it is exported is shown and tested elsewhere.
        body = body.replace("edgekit export net.py:make\n", "")
        # It has no original, so a twin stands beside it where speedups are compared.
        body = re.sub(r"(bench net.edgekit)(?= --(json|baseline))", r"\1 twin.edgekit", body)
        quick = body.replace("edgekit bench ", "edgekit bench --starts 2 --rounds 1 ")
        # Two starts bound next to nothing; whether a gate trips is no matter of this test.
        quick = quick.replace("regression>3", "regression>1e300")
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
    assert "<table>" in done.stdout
    for name in ("report.html", "summary.md", "card.md", "evidence.json", "bench.csv"):
        assert (tmp_path / name).stat().st_size > 100
