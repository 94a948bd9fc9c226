"""docs/report.md: what it shows runs as it stands."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def edited(body: str) -> str:
    # The package is there: how it is exported is shown and tested elsewhere.
    body = body.replace("edgekit export net.py:make\n", "")
    # It has no original, so a twin stands beside it where speedups are compared.
    body = re.sub(r"(bench net.edgekit)(?= --(json|baseline))", r"\1 twin.edgekit", body)
    # Two starts bound next to nothing; whether a gate trips is no matter of this test.
    return body.replace("regression>3", "regression>1e300")


def test_the_blocks_of_the_page_run(
    tmp_path: Path, tiny_package: Path, run_page: Callable[..., list[str]]
) -> None:
    pytest.importorskip("matplotlib", reason="the page makes a report with plots")
    shutil.copytree(tiny_package, tmp_path / "twin.edgekit")
    shutil.move(tiny_package, tmp_path / "net.edgekit")
    said = run_page("report.md", tmp_path, edited=edited)
    assert "<table>" in said[-1]
    for name in ("report.html", "summary.md", "card.md", "evidence.json", "bench.csv"):
        assert (tmp_path / name).stat().st_size > 100
