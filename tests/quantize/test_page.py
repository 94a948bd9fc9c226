"""docs/quantize.md: what it shows runs as it stands, on the reference CNN."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.package import reading
from edgekit.quantize.scheme import find
from edgekit.terms import Scheme, members

pytest.importorskip("onnx", reason="models are converted with onnx")

PAGE = Path(__file__).parents[2] / "docs" / "quantize.md"


@pytest.mark.timeout(600)
def test_the_examples_of_the_page_run(
    cnn_package: Path, run_page: Callable[..., list[str]], tmp_path: Path
) -> None:
    shutil.copytree(cnn_package, tmp_path / "cnn.edgekit")
    run_page(PAGE.name, tmp_path)
    made = [variant.name for variant in reading.read(tmp_path / "cnn.edgekit").variants]
    assert made == ["fp32", "int8-static", "int8-entropy"]


@pytest.mark.parametrize("name", members(Scheme))
def test_every_scheme_and_what_it_heeds_is_on_the_page(name: Scheme) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert f"`{name}`" in page
    for setting in set(find(name).takes) - {"method", "block_size"}:
        assert f"--{setting.replace('_', '-')}".replace("--bias", "--no-bias") in page
