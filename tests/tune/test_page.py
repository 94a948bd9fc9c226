"""docs/tune.md: what it shows runs as it stands, on the reference CNN."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.package import choices

pytest.importorskip("onnx", reason="variants are made with onnx")


@pytest.mark.timeout(600)
def test_the_examples_of_the_page_run(
    cnn_package: Path, run_page: Callable[..., list[str]], tmp_path: Path
) -> None:
    shutil.copytree(cnn_package, tmp_path / "cnn.edgekit")
    run_page("tune.md", tmp_path)
    assert choices.machines(tmp_path / "cnn.edgekit")
