from __future__ import annotations

import dataclasses
import hashlib
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import onnxruntime as ort
import pytest

import edgekit
from edgekit.errors import CorruptPackage, HashMismatch, ModelFileError, ProviderUnavailable
from edgekit.package import commit, reading
from edgekit.package import values as v
from edgekit.providers import Diagnosis
from edgekit.runtime import sessions
from edgekit.runtime.sessions import open_session
from edgekit.tensors import Dim, Signature, TensorSpec

WEIGHT = np.arange(64, dtype=np.float32).reshape(8, 8)
ROW = np.ones((1, 8), np.float32)


class WriteOnnx(Protocol):
    def __call__(self, graph: str, name: str = "net") -> Path: ...


@pytest.fixture
def external_onnx(tmp_path: Path) -> Path:
    """Write y = x @ W with W beside the model, in `weights.bin`."""
    onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    text = '<ir_version: 10, opset_import: ["": 20]> g (float[n,8] x) => (float[n,8] y)'
    model = onnx.parser.parse_model(f"{text} {{ y = MatMul(x, w) }}")
    model.graph.initializer.append(onnx.numpy_helper.from_array(WEIGHT, "w"))
    onnx.save(
        *(model, folder / "net.onnx"),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    return folder / "net.onnx"


@pytest.fixture
def external_package(external_onnx: Path, tmp_path: Path) -> Path:
    """Pack `external_onnx` with its weights as a file of the package."""
    facts = v.GraphFacts(20, 1, 64, {"MatMul": 1})
    package = v.Package(
        name="wide",
        graphs=(
            v.Graph(
                "model",
                Signature(
                    (TensorSpec("x", "float32", (Dim("n"), 8)),),
                    (TensorSpec("y", "float32", (Dim("n"), 8)),),
                ),
            ),
        ),
        variants=(v.Variant("fp32", "model", "net.onnx", "fp32", facts, files=("weights.bin",)),),
        provenance=v.Provenance("net.onnx", "onnx", "adopted", "0" * 64),
        files={},
    )
    path = tmp_path / "wide.edgekit"
    names = ("net.onnx", "weights.bin")
    with commit.new_package(path) as folder:
        commit.commit(folder, package, {n: external_onnx.with_name(n) for n in names})
    return path


def verified(path: Path, *, whole: bool = True) -> reading.Verified:
    content = path.read_bytes()
    record = v.FileRecord(hashlib.sha256(content).hexdigest(), len(content))
    return reading.open_verified(path.parent, path.name, record, whole=whole)


def test_a_plain_onnx_takes_the_external_data_beside_it(
    external_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.testing.assert_array_equal(edgekit.load(external_onnx)(ROW), ROW @ WEIGHT)
    monkeypatch.chdir(external_onnx.parent)
    np.testing.assert_array_equal(edgekit.load("net.onnx")(ROW), ROW @ WEIGHT)


def test_missing_or_short_external_data_gets_a_sentence(external_onnx: Path) -> None:
    weights = external_onnx.with_name("weights.bin")
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(ModelFileError, match="cannot be used as an ONNX model"):
        edgekit.load(external_onnx)
    weights.unlink()
    with pytest.raises(ModelFileError, match=r"weights\.bin"):
        edgekit.load(external_onnx)


@pytest.mark.parametrize("by_path", [False, True], ids=["in memory", "by path"])
def test_a_package_answers_from_external_data(
    by_path: bool, external_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by_path:
        monkeypatch.setattr(reading, "IN_MEMORY_BYTES", 200)  # the model fits, its weights don't
    np.testing.assert_array_equal(edgekit.load(external_package)(ROW), ROW @ WEIGHT)


@pytest.mark.parametrize("verify", [False, True])
def test_changed_external_data_is_refused(verify: bool, external_package: Path) -> None:
    weights = external_package / "weights.bin"
    weights.write_bytes(bytes(reversed(weights.read_bytes())))
    with pytest.raises(HashMismatch, match=r"weights\.bin"):
        edgekit.load(external_package, verify=verify)


def test_a_session_runs_on_the_very_bytes_that_were_verified(external_package: Path) -> None:
    model = verified(external_package / "net.onnx")
    weights = verified(external_package / "weights.bin")
    for path in list(external_package.iterdir()):
        path.write_bytes(b"something else")
    session = open_session(model, v.SessionChoice(), external={"weights.bin": weights})
    np.testing.assert_array_equal(session.run(None, {"x": ROW})[0], ROW @ WEIGHT)


def test_external_data_that_is_not_listed_is_never_taken(
    external_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = reading.read(external_package)
    (listed,) = package.variants
    only = msgspec.structs.replace(
        package, variants=(msgspec.structs.replace(listed, files=()),), files={}
    )
    bare = external_package.with_name("bare.edgekit")
    with commit.new_package(bare) as folder:
        commit.commit(folder, only, {"net.onnx": external_package / "net.onnx"})
    # Beside the model and in the folder where the process stands, where onnxruntime would look.
    for folder in (bare, external_package.parent):
        (folder / "weights.bin").write_bytes(WEIGHT.tobytes())
    monkeypatch.chdir(external_package.parent)
    with pytest.raises(ModelFileError, match=r"[Ee]xternal"):
        edgekit.load(bare)


@pytest.mark.parametrize("which", ["net.onnx", "weights.bin"])
def test_a_large_file_that_changes_while_it_is_loaded_is_refused(
    which: str, external_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "IN_MEMORY_BYTES", 0)
    real = ort.InferenceSession

    def slow(*arguments: Any, **options: Any) -> Any:
        session = real(*arguments, **options)
        path = external_package / which
        replaced = path.with_suffix(".new")
        replaced.write_bytes(path.read_bytes())
        replaced.replace(path)
        return session

    monkeypatch.setattr(ort, "InferenceSession", slow)
    with pytest.raises(CorruptPackage, match="it was changed while it was loaded"):
        edgekit.load(external_package)


@pytest.mark.parametrize("provider", ["cuda", "tensorrt", "openvino"])
def test_a_provider_that_is_not_here_says_how_to_get_it(provider: str, tiny_onnx: Any) -> None:
    from edgekit import providers

    found = providers.find(provider).diagnose()
    if found.usable:
        pytest.skip(f"{provider} can be used here")
    with pytest.raises(ProviderUnavailable) as caught:
        edgekit.load(tiny_onnx(), provider=provider)
    assert found.cause in str(caught.value)
    assert str(caught.value).endswith(found.mend)
    assert caught.value.facts["provider"] == provider


def _as_if_usable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let a provider's diagnosis find everything, as on a machine with a GPU."""
    module = importlib.import_module(f"edgekit.providers.{name}")
    here = Diagnosis(usable=True, cause="", found="a GPU", needed="", mend="")
    usable = dataclasses.replace(module.PROVIDER, diagnosed=lambda provider: here)
    monkeypatch.setattr(module, "PROVIDER", usable)


class _OnTheCpu:
    """A session that came up on the CPU, whatever it was asked."""

    def __init__(self, *_: Any, **options: Any) -> None:
        self.asked = options["providers"]
        assert options["enable_fallback"] is False

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_session_that_landed_on_the_cpu_is_refused(
    provider: str, tiny_onnx: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _as_if_usable(monkeypatch, provider)
    monkeypatch.setattr(ort, "InferenceSession", _OnTheCpu)
    with pytest.raises(ProviderUnavailable, match="the session runs on CPUExecutionProvider"):
        edgekit.load(tiny_onnx(), provider=provider)


def test_a_provider_that_fails_to_start_is_not_blamed_on_the_model(
    tiny_onnx: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDAExecutionProvider: no CUDA-capable device is detected")

    _as_if_usable(monkeypatch, "cuda")
    monkeypatch.setattr(ort, "InferenceSession", refuse)
    with pytest.raises(ProviderUnavailable, match="no CUDA-capable device is detected"):
        edgekit.load(tiny_onnx(), provider="cuda")


def test_a_choice_arrives_in_the_session(tiny_onnx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real, seen = ort.InferenceSession, []

    def watched(*arguments: Any, **options: Any) -> Any:
        seen.append(real(*arguments, **options))
        return seen[-1]

    monkeypatch.setattr(ort, "InferenceSession", watched)
    path = tiny_onnx()
    edgekit.load(path, threads=1, idle="sleep")
    choice = v.SessionChoice(
        graph_level="basic", session_options={"session.set_denormal_as_zero": "1"}
    )
    open_session(reading.Verified(path, path.read_bytes(), _stamp(path)), choice)
    first, second = (session.get_session_options() for session in seen)
    assert first.intra_op_num_threads == first.inter_op_num_threads == 1
    assert first.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert first.graph_optimization_level == ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    assert second.graph_optimization_level == ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    assert second.get_session_config_entry("session.set_denormal_as_zero") == "1"


def _stamp(path: Path) -> reading.Stamp:
    status = path.stat()
    return reading.Stamp(status.st_ino, status.st_size, status.st_mtime_ns)


def test_every_element_type_but_bfloat16_has_its_onnx_name(write_onnx: WriteOnnx) -> None:
    from edgekit.terms import DType, members

    onnx_names = {"float32": "float", "float64": "double"}
    for dtype in set(members(DType)) - {"bfloat16"}:
        name = onnx_names.get(dtype, dtype)
        graph = f"({name}[n,2] x) => ({name}[n,2] y) {{ y = Identity(x) }}"
        session = ort.InferenceSession(write_onnx(graph), providers=["CPUExecutionProvider"])
        signature = sessions.signature_of(session, path=Path("net.onnx"))
        assert signature.inputs == (TensorSpec("x", dtype, (Dim("n"), 2)),)  # type: ignore[arg-type]


def test_dimensions_without_a_name_get_one(tiny_onnx: Callable[..., Path]) -> None:
    onnx = pytest.importorskip("onnx")
    path = tiny_onnx()
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].Clear()
    onnx.save(model, path)
    assert edgekit.load(path).inputs[0].shape == (Dim("x_0"), 4)
