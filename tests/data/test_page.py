"""docs/data.md: what it shows runs as it stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.timeout(600)
def test_the_example_of_the_page_runs(tmp_path: Path, run_page: Callable[..., list[str]]) -> None:
    pytest.importorskip("torch", reason="the page exports a module")
    pytest.importorskip("pyarrow", reason="the page writes Parquet")
    own, factory, table, python = [text for text in run_page("data.md", tmp_path) if text]
    assert "200 held-out cases of held-out.npz, 256 calibration cases of train.npz" in own
    assert "160 held-out cases of points.py:held_out" in factory
    assert "200 held-out cases of held-out.parquet" in table
    assert all("100.0 % [" in text for text in (own, factory, table))
    assert python == "200 (1, 2)\n"
