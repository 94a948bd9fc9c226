"""A plug-in provider for real: where nodes land, in which precision, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
import pytest

import edgekit
from edgekit.errors import BadValue, NodesElsewhere, NotFound, ProviderUnavailable, UnknownName
from edgekit.runtime import Model

PRECISION = "INFERENCE_PRECISION_HINT"


class WriteOnnx(Protocol):
    def __call__(self, graph: str, name: str = "net") -> Path: ...


def load(path: Path, library: Path, **options: Any) -> Model:
    return edgekit.load(path, provider="openvino", provider_library=library, **options)


@pytest.fixture
def split(write_onnx: WriteOnnx) -> Path:
    """Write a model with one operator, Det, that OpenVINO leaves to the CPU."""
    return write_onnx("(float[n,4,4] x) => (float[n] y) { r = Relu(x) d = Det(r) y = Abs(d) }")


def test_every_node_of_a_plain_model_runs_there(tiny_package: Path, openvino_library: Path) -> None:
    with load(tiny_package, openvino_library, strict=True) as model:
        assert model.check().passed
        assert model.facts.placement is not None
        assert list(model.facts.placement) == ["openvino"]
        assert model.facts.copies == 0
        assert "on openvino in fp32 (all " in str(model.explain())


def test_nodes_that_it_leaves_are_counted_on_the_cpu_and_warned_of(
    split: Path, openvino_library: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with load(split, openvino_library) as model:
        assert "of net.onnx on openvino not all nodes run there: 2 nodes; 1 on cpu" in caplog.text
        assert model.facts.placement == {"openvino": {"Abs": 1, "Relu": 1}, "cpu": {"Det": 1}}
        assert "(2 nodes; 1 on cpu (1 Det))" in str(model.explain())
        x = np.eye(4, dtype=np.float32)[None] * 2
        np.testing.assert_allclose(model(x), [16.0], rtol=1e-6)


def test_strict_refuses_a_node_elsewhere(split: Path, openvino_library: Path) -> None:
    with pytest.raises(NodesElsewhere, match=r"1 of the nodes of net\.onnx runs .*cpu: 1 Det"):
        load(split, openvino_library, strict=True)


def test_strict_refuses_nothing_on_the_cpu(split: Path) -> None:
    assert edgekit.load(split, strict=True).facts.placement == {
        "cpu": {"Abs": 1, "Det": 1, "Relu": 1}
    }


def test_the_precision_is_stated_and_float32_is_float32(
    tiny_package: Path, openvino_library: Path
) -> None:
    with load(tiny_package, openvino_library) as model:
        assert model.facts.computes == "fp32"
        asked = model._session.get_provider_options()["OpenVINOExecutionProvider"]
        assert f'"{PRECISION}": "f32"' in asked["load_config"]
        assert model.check().passed


@pytest.mark.parametrize(("hint", "capability"), [("bf16", "BF16"), ("f16", "FP16")])
def test_a_shorter_precision_is_had_or_refused_and_never_another(
    hint: str, capability: str, tiny_package: Path, openvino_library: Path
) -> None:
    load(tiny_package, openvino_library).close()  # registers the library
    (device,) = (d for d in ort.get_ep_devices() if d.ep_name == "OpenVINOExecutionProvider")
    options = {PRECISION: hint}
    if capability in device.ep_metadata["OPTIMIZATION_CAPABILITIES"].split():
        with load(tiny_package, openvino_library, provider_options=options) as model:
            assert model.facts.computes == {"bf16": "bf16", "f16": "fp16"}[hint]
    else:
        with pytest.raises(ProviderUnavailable, match=f"does not compute in {hint}; .*f32"):
            load(tiny_package, openvino_library, provider_options=options)


def test_threads_reach_it(tiny_package: Path, openvino_library: Path) -> None:
    with load(tiny_package, openvino_library, threads=1) as model:
        asked = model._session.get_provider_options()["OpenVINOExecutionProvider"]
        assert '"INFERENCE_NUM_THREADS": "1"' in asked["load_config"]


def test_any_plug_in_runs_by_its_registered_name_and_its_library(
    tiny_package: Path, openvino_library: Path
) -> None:
    # Under ONNX Runtime's name it is one that edgekit doesn't list.
    name = "OpenVINOExecutionProvider"
    with edgekit.load(tiny_package, provider=name, provider_library=openvino_library) as model:
        assert model.facts.provider == name
        assert model.facts.library == str(openvino_library)
        assert list(model.facts.placement or {}) == [name]
        # Of one that edgekit doesn't know it can't say that float32 stays float32.
        assert model.facts.computes is None
        assert "in a precision that it does not tell" in str(model.explain())


def test_a_name_that_the_library_does_not_register_is_refused(
    tiny_package: Path, openvino_library: Path
) -> None:
    with pytest.raises(ProviderUnavailable, match=r"and no Frog\. Ask for 'OpenVINOExecutionProv"):
        edgekit.load(tiny_package, provider="Frog", provider_library=openvino_library)


def test_a_library_that_the_app_registered_too_is_one_provider(
    tiny_package: Path, openvino_library: Path, tmp_path: Path
) -> None:
    (tmp_path / "linked").symlink_to(openvino_library.parent)
    twice = tmp_path / "linked" / openvino_library.name
    ort.register_execution_provider_library("the app's own", str(twice))
    try:
        for library in (twice, openvino_library):
            with load(tiny_package, library) as model:
                assert model.facts.library == str(library)
                assert list(model.facts.placement or {}) == ["openvino"]
                assert model.check().passed
    finally:
        ort.unregister_execution_provider_library("the app's own")


def test_a_name_without_a_library_says_how_to_give_one(tiny_package: Path) -> None:
    with pytest.raises(UnknownName, match="--provider-library PATH"):
        edgekit.load(tiny_package, provider="FrogExecutionProvider")


@pytest.mark.parametrize(
    ("asked", "said"),
    [("OpenVINOExecutionProvider", "'openvino' here"), ("CUDA", "'cuda' here"), (7, "'7'")],
)
def test_a_name_that_is_another_of_a_known_one_says_which(
    asked: Any, said: str, tiny_package: Path
) -> None:
    with pytest.raises(UnknownName, match=said):
        edgekit.load(tiny_package, provider=asked)


def test_a_library_that_is_not_there_is_said(tiny_package: Path, tmp_path: Path) -> None:
    missing = tmp_path / "libnothing.so"
    with pytest.raises((ProviderUnavailable, NotFound), match=r"libnothing\.so"):
        edgekit.load(tiny_package, provider="Frog", provider_library=missing)


def test_a_file_that_is_no_library_is_said(tiny_package: Path, tmp_path: Path) -> None:
    text = tmp_path / "libtext.so"
    text.write_text("not a library")
    with pytest.raises(ProviderUnavailable, match=r"libtext\.so"):
        edgekit.load(tiny_package, provider="Frog", provider_library=text)


def test_a_library_for_a_provider_that_is_built_in_is_refused(
    tiny_package: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadValue, match="part of onnxruntime"):
        edgekit.load(tiny_package, provider="cuda", provider_library=tmp_path / "lib.so")
