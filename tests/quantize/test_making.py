"""From a package to the same package with an fp16 variant, and what is said of it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import edgekit
from edgekit.errors import (
    BadValue,
    CorruptPackage,
    HashMismatch,
    MissingExtra,
    ModelFileError,
    NotFound,
    StorageError,
    UnknownName,
)
from edgekit.measure.adopt import adopt
from edgekit.measure.ways import How, variant_call
from edgekit.package import commit, reading
from edgekit.package.cases import content_sha256_of_all, encode
from edgekit.package.locking import LOCK
from edgekit.package.values import CaseFile, Recipe
from edgekit.quantize import Settings, quantize, scheme
from edgekit.tensors import Case
from edgekit.terms import Scheme, members
from edgekit.workers import Worker

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

Save = Callable[..., Path]


def names(path: Path) -> list[str]:
    return [variant.name for variant in reading.read(path).variants]


def test_an_fp16_variant_is_made_measured_and_added(tiny_package: Path) -> None:
    steps: list[tuple[int, int]] = []
    done = quantize(tiny_package, scheme="fp16", progress=lambda *step: steps.append(step))
    assert names(tiny_package) == ["fp32", "fp16"]
    variant = reading.read(tiny_package).variants[1]
    assert variant == done.variant
    assert (variant.precision, variant.parent) == ("fp16", "fp32")
    assert variant.target.ep == "CUDAExecutionProvider"
    assert variant.recipe == Recipe("fp16")
    assert (done.nodes, done.kept, done.warnings) == (3, {}, ())
    # Without calibration cases the four reference cases say how large values get.
    assert (done.looked_at, done.cases) == (4, 24)
    assert steps == [*((n, 4) for n in range(4)), *((n, 24) for n in range(24))]
    assert done.closeness["y"].cosine > 0.99999
    assert done.quality is not None
    assert done.quality.agreement is not None
    assert done.quality.agreement.value == 1
    assert done.size_bytes == (tiny_package / variant.model).stat().st_size
    with edgekit.load(tiny_package, variant="fp16") as model:
        assert model.check().passed
        assert model.facts.precision == "fp16"


def test_the_cnn_keeps_its_accuracy(cnn_package: Path, tmp_path: Path) -> None:
    path = tmp_path / "cnn.edgekit"
    shutil.copytree(cnn_package, path)
    done = quantize(path, scheme="fp16", target="tensorrt", name="half")
    assert names(path) == ["fp32", "half"]
    assert done.variant.target.ep == "TensorrtExecutionProvider"
    assert done.looked_at == 256
    assert done.kept == {}
    assert done.warnings == ()
    assert done.size_bytes < 0.51 * done.parent_bytes
    assert done.quality is not None
    assert done.quality.agreement is not None
    assert done.quality.cases == 1500
    assert done.quality.agreement.low > 0.99


def test_calibration_cases_say_how_large_values_get(tiny_package: Path) -> None:
    package = reading.read(tiny_package)
    # The terms of one product with W add up to 65455.
    case = Case({"x": np.full((1, 4), 30000, np.float32)})
    file = CaseFile("calibration.safetensors", "cases", "train", 1, content_sha256_of_all([case]))
    graph = msgspec.structs.replace(package.graphs[0], calibration=file)
    edited = msgspec.structs.replace(package, graphs=(graph,))
    commit.commit(tiny_package, edited, {file.file: encode([case])})
    done = quantize(tiny_package, scheme="fp16")
    assert done.looked_at == 1
    assert "its sums may reach 6.55e+04, too near" in done.kept["MatMul:product"]
    assert "MatMul:product" in (done.variant.recipe or Recipe("fp16")).keep_float


def test_figures_for_a_gpu_are_those_of_answers_that_are_rounded(tiny_package: Path) -> None:
    gpu = quantize(tiny_package, scheme="fp16")
    cpu = quantize(tiny_package, scheme="fp16", target="cpu", name="fp16-cpu")
    assert "rounded as hardware for fp16 does" in gpu.measured_on
    assert cpu.measured_on == "this CPU"
    assert gpu.closeness["y"].max_abs_error >= cpu.closeness["y"].max_abs_error > 0
    # The file is the same.
    files = [tiny_package / done.variant.model for done in (gpu, cpu)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_node_that_is_left_in_float_is_in_the_recipe(tiny_package: Path) -> None:
    done = quantize(tiny_package, scheme="fp16", keep_float=["Add:sum"])
    assert done.kept == {"Add:sum": "asked for"}
    assert done.variant.recipe == Recipe("fp16", ("Add:sum",))
    assert done.nodes == 2
    with pytest.raises(UnknownName, match="Did you mean 'Add:sum'"):
        quantize(tiny_package, scheme="fp16", keep_float=["Add:sums"], overwrite=True)


def test_a_variant_is_replaced_when_that_is_asked_for(tiny_package: Path) -> None:
    quantize(tiny_package, scheme="fp16")
    with pytest.raises(BadValue, match="--overwrite"):
        quantize(tiny_package, scheme="fp16")
    done = quantize(tiny_package, scheme="fp16", keep_float=["Add:sum"], overwrite=True)
    assert names(tiny_package) == ["fp32", "fp16"]
    assert reading.read(tiny_package).variants[1].recipe == done.variant.recipe


def test_a_name_without_letters_is_none(tiny_package: Path) -> None:
    with pytest.raises(BadValue, match="cannot be '': expected letters"):
        quantize(tiny_package, scheme="fp16", name="")


def test_only_a_float32_variant_is_made_into_fp16(tiny_package: Path) -> None:
    quantize(tiny_package, scheme="fp16")
    with pytest.raises(BadValue, match=r"fp16, which is fp16: expected a variant in float32"):
        quantize(tiny_package, scheme="fp16", variant="fp16", name="again")


def test_an_adopted_package_is_held_against_its_own_file(save: Save, tmp_path: Path) -> None:
    text = "(float[n,4] x) => (float[n,4] y) { h = MatMul(x, w) y = Softmax(h) }"
    path = tmp_path / "net.edgekit"
    adopt(save(text, weights={"w": np.eye(4, dtype=np.float32)}), path)
    done = quantize(path, scheme="fp16")
    assert done.quality is None
    assert done.closeness["y"].max_abs_error < 1e-3


def test_the_second_graph_gets_a_variant_of_its_own(two_graphs: Path) -> None:
    done = quantize(two_graphs, scheme="fp16", variant="fp32-uint8", name="fp16-uint8")
    assert done.variant.graph == "model-uint8"
    with edgekit.load(two_graphs, variant="fp16-uint8") as model:
        assert model.check().passed


def test_external_data_stays_beside_the_model(save: Save, tmp_path: Path) -> None:
    text = "(float[n,64] x) => (float[n,64] y) { y = MatMul(x, w) }"
    model = save(text, weights={"w": np.eye(64, dtype=np.float32)})
    onnx.save(
        onnx.load(model), model, save_as_external_data=True, location="w.bin", size_threshold=0
    )
    path = tmp_path / "net.edgekit"
    adopt(model, path)
    done = quantize(path, scheme="fp16")
    (beside,) = done.variant.files
    assert beside.startswith("fp16.")
    assert done.size_bytes > 64 * 64 * 2
    with edgekit.load(path, variant="fp16", verify=True) as loaded:
        assert loaded.check().passed
    again = quantize(path, scheme="fp16", overwrite=True)
    assert again.variant.files == (beside,)
    quantize(path, scheme="fp16", name="second")
    with edgekit.load(path, variant="second", verify=True) as loaded:
        assert loaded.check().passed


def test_external_data_that_the_manifest_does_not_list_is_not_read(
    save: Save, tmp_path: Path
) -> None:
    text = "(float[n,8] x) => (float[n,8] y) { y = MatMul(x, w) }"
    model = save(text, weights={"w": np.eye(8, dtype=np.float32)})
    path = tmp_path / "net.edgekit"
    adopt(model, path)
    onnx.save(
        onnx.load(model), model, save_as_external_data=True, location="w.bin", size_threshold=0
    )
    moved = onnx.load(model, load_external_data=False)
    for entry in moved.graph.initializer[0].external_data:
        entry.value = "../w.bin" if entry.key == "location" else entry.value
    package = reading.read(path)
    commit.commit(path, package, {"fp32.onnx": moved.SerializeToString()})
    with pytest.raises(CorruptPackage, match=r"names external data that isn't listed: '\.\./w"):
        quantize(path, scheme="fp16")


def test_lost_agreement_is_a_warning(save: Save, tmp_path: Path) -> None:
    """Two answers that only float32 tells apart: x and x + 1e-5."""
    text = "(float[n,1] x) => (float[n,2] y) { h = Mul(x, w) k = Sub(h, c) y = Mul(k, f) }"
    weights = {
        "w": np.array([1, 1.0001], np.float32),
        "c": np.array(1, np.float32),
        "f": np.array(1000, np.float32),
    }
    path = tmp_path / "net.edgekit"
    adopt(save(text, weights=weights), path)
    done = quantize(path, scheme="fp16", target="cpu")
    assert names(path) == ["fp32", "fp16"]
    assert done.closeness["y"].cosine > 0.999
    package = reading.read(path)
    near = Case({"x": np.array([[1.0001]], np.float32)}, {"y": np.array([[0.1, 0.2]], np.float32)})
    reference = package.graphs[0].reference
    assert reference is not None
    file = msgspec.structs.replace(reference, cases=1)
    graph = msgspec.structs.replace(package.graphs[0], reference=file)
    edited = msgspec.structs.replace(package, graphs=(graph,), variants=package.variants[:1])
    commit.commit(path, edited, {file.file: encode([near])})
    done = quantize(path, scheme="fp16", target="cpu")
    assert names(path) == ["fp32", "fp16"]
    assert done.closeness["y"].cosine < 0.99
    (warning,) = (text for text in done.warnings if text.startswith("y has cosine"))
    assert warning.endswith("--min-cosine 0.99")


def test_lost_accuracy_is_a_warning(save: Save, tmp_path: Path) -> None:
    """The class is the sign of x, which fp16 can't tell once 1 was added."""
    text = "(float[n,1] x) => (float[n,2] y) { h = Add(x, c) k = Sub(h, c) y = Mul(k, w) }"
    weights = {"w": np.array([-1, 1], np.float32), "c": np.array(1, np.float32)}
    path = tmp_path / "net.edgekit"
    adopt(save(text, weights=weights), path)
    package = reading.read(path)
    labelled = []
    for n in range(40):
        x = np.float32(2e-4 if n % 2 else -2e-4)
        labelled.append(Case({"x": x.reshape(1, 1)}, {"y": np.array([[-x, x]], np.float32)}, n % 2))
    file = CaseFile("evaluation.safetensors", "signs", "test", 40, content_sha256_of_all(labelled))
    graph = msgspec.structs.replace(package.graphs[0], evaluation=file)
    edited = msgspec.structs.replace(package, graphs=(graph,), metric="top1")
    commit.commit(path, edited, {file.file: encode(labelled)})
    done = quantize(path, scheme="fp16")
    (drop,) = [text for text in done.warnings if text.startswith("it names the right class")]
    assert "50.00 points less often" in drop
    assert "40 signs" in drop


def test_an_answer_that_is_lost_is_refused(save: Save, tmp_path: Path) -> None:
    """Only held-out cases go past fp16's end: what was measured before didn't show it."""
    text = "(float[n,1] x) => (float[n,1] y) { h = Mul(x, c) y = Sub(h, x) }"
    path = tmp_path / "net.edgekit"
    adopt(save(text, weights={"c": np.array(1000, np.float32)}), path)
    package = reading.read(path)
    case = Case({"x": np.array([[100]], np.float32)}, {"y": np.array([[99900]], np.float32)})
    file = CaseFile("evaluation.safetensors", "far", "test", 1, content_sha256_of_all([case]))
    graph = msgspec.structs.replace(package.graphs[0], evaluation=file)
    edited = msgspec.structs.replace(package, graphs=(graph,))
    commit.commit(path, edited, {file.file: encode([case])})
    with pytest.raises(ModelFileError, match=r"y is NaN or infinite in 1 of 1 elements .*\(far\)"):
        quantize(path, scheme="fp16")
    assert names(path) == ["fp32"]


@pytest.mark.parametrize("unknown", [{"scheme": "fp15"}, {"target": "cudda"}, {"variant": "fp23"}])
def test_what_is_not_known_is_named_with_the_nearest(
    unknown: dict[str, Any], tiny_package: Path
) -> None:
    with pytest.raises(UnknownName, match="Did you mean"):
        quantize(tiny_package, **{"scheme": "fp16", **unknown})


def test_a_plain_file_is_to_be_packed_first(tiny_onnx: Callable[..., Path], tmp_path: Path) -> None:
    path = tiny_onnx()
    with pytest.raises(BadValue, match=r"make one with: edgekit export .*tiny\.onnx"):
        quantize(path, scheme="fp16")
    with pytest.raises(NotFound):
        quantize(tmp_path / "missing.edgekit", scheme="fp16")


def test_a_package_that_cannot_be_changed_is_told_before_anything_is_run(
    tiny_package: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tiny_package / LOCK).mkdir()
    with caplog.at_level("INFO"), pytest.raises(StorageError):
        quantize(tiny_package, scheme="fp16")
    assert caplog.messages == []


def test_a_file_that_was_changed_is_not_quantized(tiny_package: Path) -> None:
    model = tiny_package / "fp32.onnx"
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    with pytest.raises(HashMismatch):
        quantize(tiny_package, scheme="fp16")


def test_without_onnx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("edgekit.quantize.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r"pip install 'edgekit-onnx\[build\]'"):
        scheme.find("fp16")


@pytest.mark.parametrize("name", members(Scheme))
def test_every_scheme_has_a_file_that_describes_it(name: str) -> None:
    found = scheme.find(name)
    assert found.name == name
    assert found.summary
    assert found.where.endswith(".")


def test_a_transpose_in_front_of_a_product_takes_no_process_down(tmp_path: Path) -> None:
    # ONNX Runtime 1.31 and 1.32 die of fusing the two in fp16 on a CPU.
    text = """<ir_version: 10, opset_import: ["": 20]>
        g (float[batch,3,8] x) => (float[3,batch,4] y) {
            t = Transpose<perm=[1,0,2]>(x) y = MatMul(t, w)
        }"""
    model = onnx.parser.parse_model(text)
    weight = np.linspace(-1, 1, 32, dtype=np.float32).reshape(8, 4)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    onnx.save(model, tmp_path / "turned.onnx")
    package = tmp_path / "turned.edgekit"
    adopt(tmp_path / "turned.onnx", package)
    assert quantize(package, scheme="fp16").kept == {}
    with Worker("turned", wall_s=60) as worker:
        worker.open(variant_call(package, "fp16", How()))
        x = np.ones((2, 3, 8), np.float32)
        np.testing.assert_allclose(
            worker.run({"x": x}).outputs["y"], x.transpose(1, 0, 2) @ weight, atol=0.05
        )


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("fp16", Settings(method="entropy")),
        ("int8-dynamic", Settings(block_size=64)),
        ("int8-static", Settings(block_size=64)),
        ("int8-weight", Settings(smooth=0.5)),
    ],
)
def test_a_setting_that_the_scheme_would_not_heed_is_refused(
    name: Scheme, settings: Settings, tiny_package: Path
) -> None:
    with pytest.raises(BadValue, match=f"{name} heeds"):
        quantize(tiny_package, scheme=name, settings=settings)
