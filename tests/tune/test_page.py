"""docs/tune.md: what it shows runs as it stands, on the reference CNN."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit import machine
from edgekit.package import choices
from edgekit.tune import memory

pytest.importorskip("onnx", reason="variants are made with onnx")


def shortened(body: str) -> str:
    body = body.replace("--time-limit 60s", "--time-limit 15s")
    return body.replace('tune("cnn.edgekit")', 'tune("cnn.edgekit", time_limit_s=5)')


@pytest.mark.timeout(600)
def test_the_examples_of_the_page_run(
    cnn_package: Path, run_page: Callable[..., list[str]], tmp_path: Path
) -> None:
    shutil.copytree(cnn_package, tmp_path / "cnn.edgekit")
    run_page("tune.md", tmp_path, edited=shortened)
    assert choices.machines(tmp_path / "cnn.edgekit")
    assert memory.load(tmp_path / "cnn.edgekit", machine.speed_key(machine.describe())) is not None
