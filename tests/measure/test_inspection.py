from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.errors import ModelFileError, NotFound
from edgekit.measure.inspection import inspect
from edgekit.tensors import Dim


def test_a_package_tells_what_is_in_it(tiny_package: Path) -> None:
    found = inspect(tiny_package)
    (variant,) = found.variants
    assert (found.name, found.kind) == ("tiny", "model package")
    assert (variant.name, variant.precision, variant.portable) == ("fp32", "fp32", True)
    assert variant.size_bytes == (tiny_package / "fp32.onnx").stat().st_size
    assert variant.facts.parameters == 15
    assert found.total_bytes == sum(
        file.stat().st_size for file in tiny_package.iterdir() if file.name != "manifest.json"
    )
    assert list(found.cases) == ["model"]
    kept = [(cases.split, cases.cases) for cases in found.cases["model"]]
    assert kept == [("reference", 4), ("test", 20)]
    assert found.provenance is not None
    assert found.measured == ()


def test_each_graph_tells_what_goes_into_it_and_which_cases_it_has(two_graphs: Path) -> None:
    found = inspect(two_graphs)
    assert {name: s.inputs[0].dtype for name, s in found.graphs.items()} == {
        "model": "float32",
        "model-uint8": "uint8",
    }
    assert {name: [c.cases for c in cases] for name, cases in found.cases.items()} == {
        "model": [4, 20],
        "model-uint8": [2, 10],
    }
    assert [(v.name, v.graph) for v in found.variants] == [
        ("fp32", "model"),
        ("fp32-uint8", "model-uint8"),
    ]


def test_a_plain_file_tells_what_is_in_it(tiny_onnx: Callable[..., Path]) -> None:
    path = tiny_onnx("net")
    found = inspect(path)
    assert (found.name, found.kind, found.provenance) == ("net", "plain .onnx file", None)
    assert found.graphs["model"].inputs[0].shape == (Dim("batch"), 4)
    assert found.variants[0].facts.operators == {"Add": 1, "MatMul": 1, "Relu": 1}
    assert found.total_bytes == path.stat().st_size


def test_what_is_not_there_or_broken_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        inspect(tmp_path / "gone.onnx")
    with pytest.raises(NotFound):
        inspect(tmp_path / "gone.edgekit")
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ModelFileError):
        inspect(tmp_path / "text.onnx")
