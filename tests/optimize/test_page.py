"""docs/optimize.md: what it shows runs as it stands, on the reference CNN."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.package import reading
from edgekit.terms import Pass, members

PAGE = Path(__file__).parents[2] / "docs" / "optimize.md"


@pytest.mark.timeout(600)
def test_the_examples_of_the_page_run(
    cnn_package: Path, run_page: Callable[..., list[str]], tmp_path: Path
) -> None:
    shutil.copytree(cnn_package, tmp_path / "cnn.edgekit")
    run_page(PAGE.name, tmp_path)
    made = [variant.name for variant in reading.read(tmp_path / "cnn.edgekit").variants]
    assert made == ["fp32", "batch-1", "by-ort"]


@pytest.mark.parametrize("name", members(Pass))
def test_every_pass_is_on_the_page(name: Pass) -> None:
    assert f"| `{name}` |" in PAGE.read_text(encoding="utf-8")
