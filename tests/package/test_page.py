"""docs/package.md: what it shows runs as it stands, on the reference CNN."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import onnxruntime as ort
import pytest

from edgekit import providers
from edgekit.package import reading
from edgekit.providers.info import DISABLED

PAGE = (Path(__file__).parents[2] / "docs" / "package.md").read_text(encoding="utf-8")


@pytest.mark.skipif(
    not hasattr(ort, "ModelPackageContext"),
    reason=f"onnxruntime {ort.__version__} has no model packages; they came with 1.32",
)
def test_the_example_of_the_page_runs(
    cnn_package: Path, run_page: Callable[..., list[str]], tmp_path: Path
) -> None:
    shutil.copytree(cnn_package, tmp_path / "cnn.edgekit")
    assert run_page("package.md", tmp_path) == ["(1, 10)\n"]
    assert reading.read(tmp_path / "cnn.edgekit").graphs[0].signature.inputs[0].name == "image"


def test_the_page_names_every_option_that_edgekit_sets_by_itself() -> None:
    """What an app must know that opens a package with ONNX Runtime alone."""
    known = [providers.find(name) for name in providers.names()]
    defaults = {
        (name, option.default)
        for provider in known
        for name, option in provider.options.items()
        if option.default is not None
    }
    precautions = {
        entry
        for provider in known
        for precision in ("fp32", "fp16", "bf16", "int8", "int4")
        for entry in provider.precautions(precision).items()
    }
    assert {"use_tf32", "INFERENCE_PRECISION_HINT"} <= {name for name, _ in defaults}
    assert precautions == {(DISABLED, "MatmulTransposeFusion")}
    for name, value in defaults | precautions:
        assert f"`{name}` = `{value}`" in PAGE
