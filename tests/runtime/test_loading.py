from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import pytest

import edgekit
from edgekit import providers
from edgekit.errors import (
    BadValue,
    CorruptPackage,
    EdgekitError,
    HashMismatch,
    InputError,
    ModelFileError,
    NotFound,
    ProviderUnavailable,
    UnknownName,
)
from edgekit.package import commit, reading
from edgekit.package.values import Package
from edgekit.runtime.loading import variant_names
from edgekit.tensors import Dim, Signature, TensorSpec

X = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)
Answer = Callable[[dict[str, Any]], Any]


class WriteOnnx(Protocol):
    def __call__(self, graph: str, name: str = "net") -> Path: ...


def repack(folder: Path, package: Package, contents: dict[str, bytes | Path]) -> Path:
    """Write a changed package beside the first, with hashes that fit."""
    kept: dict[str, bytes | Path] = {
        name: (folder / name).read_bytes() for name in package.files if name not in contents
    }
    path = folder.with_name("changed.edgekit")
    with commit.new_package(path) as new:
        commit.commit(new, msgspec.structs.replace(package, files={}), {**kept, **contents})
    return path


def with_signature(folder: Path, signature: Signature) -> Path:
    package = reading.read(folder)
    graph = msgspec.structs.replace(package.graphs[0], signature=signature)
    return repack(folder, msgspec.structs.replace(package, graphs=(graph,)), {})


def test_a_package_is_loaded_by_path_or_text(tiny_package: Path, tiny_answer: Answer) -> None:
    for given in (tiny_package, str(tiny_package), f"{tiny_package}/"):
        with edgekit.load(given) as model:
            assert model.name == "tiny"
            np.testing.assert_allclose(model(X), tiny_answer({"x": X}), atol=1e-6)


def test_a_relative_path_stays_good_for_checks_from_elsewhere(
    tiny_package: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tiny_package.parent)
    model = edgekit.load(tiny_package.name)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert model.check().passed


def test_the_range_in_the_manifest_holds(tiny_package: Path) -> None:
    model = edgekit.load(tiny_package)
    with pytest.raises(InputError, match=r"size 9 and the model takes batch:1\.\.8"):
        model(np.zeros((9, 4), np.float32))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "No graph was found"),
        (b"this is a text file\n" * 9, "Protobuf parsing failed"),
        (None, "Protobuf parsing failed"),
    ],
    ids=["empty", "text", "truncated"],
)
def test_an_onnx_file_that_is_none_gets_a_sentence(
    content: bytes | None, sentence: str, tiny_onnx: Any
) -> None:
    path = tiny_onnx()
    path.write_bytes(path.read_bytes()[:-9] if content is None else content)
    with pytest.raises(ModelFileError, match=f"cannot be used as an ONNX model: .*{sentence}"):
        edgekit.load(path)


def test_paths_that_lead_to_no_model_get_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    for name, kind, sentence in (
        ("nothing.onnx", NotFound, "does not exist; expected a model package or an .onnx file"),
        ("nothing.edgekit", NotFound, "does not exist"),
        ("folder.onnx", CorruptPackage, r"manifest\.json"),
        ("notes.txt", ModelFileError, r"its name does not end in \.onnx"),
    ):
        with pytest.raises(kind, match=sentence):
            edgekit.load(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(ModelFileError, match="not a plain file"):
        edgekit.load(tmp_path / "pipe.onnx")


def test_the_suffix_may_be_in_capitals(tiny_onnx: Any, tiny_answer: Answer) -> None:
    path = tiny_onnx().rename(tiny_onnx().with_name("NET.ONNX"))
    np.testing.assert_allclose(edgekit.load(path)(X), tiny_answer({"x": X}), atol=1e-6)


def test_a_link_to_an_onnx_file_is_as_good_as_the_file(
    tiny_onnx: Any, tiny_answer: Answer, tmp_path: Path
) -> None:
    link = tmp_path / "link.onnx"
    link.symlink_to(tiny_onnx())
    np.testing.assert_allclose(edgekit.load(link)(X), tiny_answer({"x": X}), atol=1e-6)


def test_wishes_that_cannot_be_met_get_a_sentence(tiny_package: Path, tiny_onnx: Any) -> None:
    plain = tiny_onnx()
    wishes: list[tuple[Path, dict[str, Any], type[EdgekitError], str]] = [
        (tiny_package, {"variant": "fp23"}, UnknownName, "Did you mean 'fp32'"),
        (plain, {"variant": "int8"}, UnknownName, "there is: portable, tiny"),
        (tiny_package, {"provider": "cdua"}, UnknownName, "Did you mean 'cuda'"),
        (tiny_package, {"threads": 0}, BadValue, "threads cannot be 0: expected a whole number"),
        (tiny_package, {"threads": "2"}, BadValue, "threads cannot be '2': expected a whole"),
        (tiny_package, {"provider_options": ["a"]}, BadValue, "['a']: expected a mapping of"),
        (tiny_package, {"provider": "best", "provider_library": "x"}, BadValue, "by its name"),
        (tiny_package, {"idle": "nap"}, UnknownName, "there is: spin, brief, sleep"),
    ]
    for path, wish, kind, sentence in wishes:
        with pytest.raises(kind) as caught:
            edgekit.load(path, **wish)
        assert sentence in str(caught.value)


def test_a_changed_model_is_refused(tiny_package: Path) -> None:
    path = tiny_package / "fp32.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(HashMismatch, match=r"fp32\.onnx .* is not the file that was packed"):
        edgekit.load(tiny_package)


def test_other_files_are_hashed_only_when_asked(tiny_package: Path) -> None:
    path = tiny_package / "evaluation.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    edgekit.load(tiny_package).close()
    with pytest.raises(HashMismatch, match=r"evaluation\.safetensors"):
        edgekit.load(tiny_package, verify=True)


X_SPEC = TensorSpec("x", "float32", (Dim("batch", 1, 8), 4))
Y_SPEC = TensorSpec("y", "float32", (Dim("batch", 1, 8), 3))


@pytest.mark.parametrize(
    "changed",
    [
        Signature((TensorSpec("z", "float32", X_SPEC.shape),), (Y_SPEC,)),
        Signature((TensorSpec("x", "float64", X_SPEC.shape),), (Y_SPEC,)),
        Signature((TensorSpec("x", "float32", (Dim("batch"),)),), (Y_SPEC,)),
        Signature((TensorSpec("x", "float32", (Dim("batch"), 5)),), (Y_SPEC,)),
        Signature((TensorSpec("x", "float32", (Dim("batch"), Dim("wide"))),), (Y_SPEC,)),
        Signature((X_SPEC, X_SPEC), (Y_SPEC,)),
        Signature((), (Y_SPEC,)),
        Signature((X_SPEC,), ()),
        Signature((X_SPEC,), (TensorSpec("y", "float32", (Dim("batch"), 4)),)),
        Signature((X_SPEC,), (TensorSpec("logits", "float32", Y_SPEC.shape),)),
    ],
    ids=lambda s: "; ".join(map(str, (*s.inputs, "→", *s.outputs))),
)
def test_a_manifest_that_does_not_tell_its_model_is_refused(
    changed: Signature, tiny_package: Path
) -> None:
    with pytest.raises(CorruptPackage, match=r"its manifest gives the (in|out)puts \(.*\) and its"):
        edgekit.load(with_signature(tiny_package, changed))


@pytest.mark.parametrize(
    "changed",
    [
        Signature((TensorSpec("x", "float32", (3, 4)),), (TensorSpec("y", "float32", (3, 3)),)),
        Signature((X_SPEC,), (TensorSpec("y", "float32", (Dim("rows"), Dim("classes"))),)),
    ],
    ids=["narrower", "looser about what comes out"],
)
def test_a_manifest_may_narrow_what_the_model_takes(
    changed: Signature, tiny_package: Path, tiny_answer: Answer
) -> None:
    model = edgekit.load(with_signature(tiny_package, changed))
    np.testing.assert_allclose(model(X), tiny_answer({"x": X}), atol=1e-6)
    assert model.signature == changed


@pytest.mark.parametrize(
    ("graph", "sentence"),
    [
        ("(bfloat16[n] x) => (bfloat16[n] y) { y = Identity(x) }", "x is bfloat16, which ONNX"),
        ("(float[n] x) => (bfloat16[n] y) { y = Cast <to = 16> (x) }", "y is bfloat16, which ONNX"),
        ("(string[n] x) => (string[n] y) { y = Identity(x) }", "x is a tensor.string.; only"),
        ("(float[n] x) => (seq(float[n]) y) { y = SequenceConstruct(x) }", "y is a seq"),
        ("(float8e5m2[n] x) => (float8e5m2[n] y) { y = Identity(x) }", "only tensors of numbers"),
    ],
)
def test_types_that_cannot_be_passed_are_refused_at_loading(
    graph: str, sentence: str, write_onnx: WriteOnnx
) -> None:
    with pytest.raises(ModelFileError, match=sentence):
        edgekit.load(write_onnx(graph))


def test_weights_of_bfloat16_run_behind_float32_inputs(write_onnx: WriteOnnx) -> None:
    graph = (
        "(float[n] x) => (float[n] y) <bfloat16[1] w = {16384}>"
        "{ wide = Cast <to = 1> (w) y = Mul(x, wide) }"
    )
    assert edgekit.load(write_onnx(graph))([3.0]).dtype == np.float32


def test_a_package_without_permission_to_write_is_loaded(
    tiny_package: Path, tiny_answer: Answer
) -> None:
    modes = {path: path.stat().st_mode for path in (*tiny_package.iterdir(), tiny_package)}
    try:
        for path, mode in modes.items():
            path.chmod(mode & ~0o222)
        assert edgekit.load(tiny_package, verify=True).check().passed
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


def test_a_copied_package_answers_without_the_first(
    tiny_package: Path, tmp_path: Path, tiny_answer: Answer
) -> None:
    copied = shutil.copytree(tiny_package, tmp_path / "device" / "my model.edgekit")
    shutil.rmtree(tiny_package)
    with edgekit.load(copied) as model:
        assert model.name == "tiny"
        np.testing.assert_allclose(model(X), tiny_answer({"x": X}), atol=1e-6)


def test_a_variant_of_another_graph_has_that_graphs_signature(
    two_graphs: Path, tiny_answer: Answer
) -> None:
    x = np.arange(8, dtype=np.uint8).reshape(2, 4)
    with edgekit.load(two_graphs, variant="fp32-uint8") as model:
        assert (model.inputs[0].dtype, model.inputs[0].shape) == ("uint8", (Dim("batch", 1, 4), 4))
        np.testing.assert_allclose(model(x), tiny_answer({"x": x}), rtol=1e-6)
        with pytest.raises(InputError, match="has dtype float32 and the model takes uint8"):
            model(X)
        with pytest.raises(InputError, match=r"takes batch:1\.\.4"):
            model(np.zeros((5, 4), np.uint8))
    with edgekit.load(two_graphs) as model:
        assert model.inputs[0].dtype == "float32"
        assert model.explain().choice.variant == "fp32"


def test_what_can_be_loaded_has_a_name(two_graphs: Path, tiny_onnx: Any) -> None:
    assert variant_names(two_graphs) == ("fp32", "fp32-uint8")
    assert variant_names(tiny_onnx("net")) == ("net",)
    with pytest.raises(NotFound):
        variant_names(two_graphs / "gone")
    with pytest.raises(ModelFileError, match=r"does not end in \.onnx"):
        variant_names(two_graphs / "manifest.json")


@pytest.mark.parametrize("provider", ["tensorrt", "tensorrt-rtx"])
def test_a_provider_that_is_not_here_is_refused_without_another_word(
    provider: str, tiny_package: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if providers.find(provider).diagnose().usable:
        pytest.skip("it can be used here")
    with pytest.raises(ProviderUnavailable):
        edgekit.load(tiny_package, provider=provider)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
