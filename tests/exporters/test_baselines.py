from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch

from edgekit import machine
from edgekit.measure.ways import How
from edgekit.package import reading
from edgekit.package.values import Package, SessionChoice
from exporters import records
from exporters.baselines import originals
from exporters.beside import Beside
from exporters.requests import TargetRequest

REQUEST = TargetRequest("net.py:make", "/somewhere", {"width": "3"})


@pytest.fixture
def package(tiny_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    return reading.read(tiny_package)


def test_an_original_that_is_not_known_is_left_out_once_for_each_way(package: Package) -> None:
    candidates, left_out = originals(package, ["eager", "compiled"])
    assert candidates == []
    assert [row.label for row in left_out] == ["PyTorch eager", "PyTorch compiled"]
    assert all("name it with --original TARGET" in row.reason for row in left_out)


def test_a_known_original_is_a_candidate_in_each_way(package: Package) -> None:
    records.remember(package, REQUEST)
    candidates, left_out = originals(package, ["compiled", "eager"], threads=3)
    assert left_out == []
    assert [c.label for c in candidates] == ["PyTorch compiled", "PyTorch eager"]
    assert all(c.optional for c in candidates)
    eager = candidates[1].call
    assert eager.function == "exporters.runners:open_eager"
    assert eager.arguments["request"] == REQUEST
    assert eager.arguments["threads"] == 3
    assert eager.arguments["weights_sha256"] == package.provenance.weights_sha256
    assert eager.arguments["signature"] == package.graphs[0].signature
    assert candidates[1].tolerance["y"] == package.variants[0].closeness[0].tolerance


def test_threads_are_those_that_this_process_may_use(package: Package) -> None:
    records.remember(package, REQUEST)
    (eager,), _ = originals(package, ["eager"])
    assert eager.call.arguments["threads"] == machine.threads_available()


def test_parameters_replace_those_that_are_remembered(package: Package) -> None:
    records.remember(package, REQUEST)
    (eager,), _ = originals(package, ["eager"], parameters={"width": "5"})
    assert eager.call.arguments["request"] == msgspec.structs.replace(
        REQUEST, parameters={"width": "5"}
    )


def test_what_is_asked_about_weights_and_task_replaces_what_is_remembered(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    known = msgspec.structs.replace(REQUEST, task="features", weights="w.safetensors")
    records.remember(package, known)
    (eager,), _ = originals(package, ["eager"])
    assert eager.call.arguments["request"] == known
    (eager,), _ = originals(
        package, ["eager"], task="text-generation", pretrained=True, weights="v.safetensors"
    )
    assert eager.call.arguments["request"] == msgspec.structs.replace(
        known,
        task="text-generation",
        pretrained=True,
        weights=str(tmp_path / "v.safetensors"),  # not beside the remembered target
    )


def test_an_asked_original_has_the_package_s_task_and_kind_of_weights(package: Package) -> None:
    provenance = msgspec.structs.replace(package.provenance, task="features", pretrained=True)
    package = msgspec.structs.replace(package, provenance=provenance)
    (eager,), _ = originals(package, ["eager"], original="hf:tiny")
    request = eager.call.arguments["request"]
    assert (request.task, request.pretrained, request.weights) == ("features", True, None)
    (eager,), _ = originals(package, ["eager"], original="hf:tiny", task="text-generation")
    assert eager.call.arguments["request"].task == "text-generation"


def test_an_asked_original_starts_here_with_the_package_s_parameters_and_seed(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    provenance = msgspec.structs.replace(package.provenance, parameters={"width": "7"}, seed=9)
    package = msgspec.structs.replace(package, provenance=provenance)
    (eager,), _ = originals(package, ["eager"], original="other.py:make")
    assert eager.call.arguments["request"] == TargetRequest(
        "other.py:make", str(tmp_path), {"width": "7"}, seed=9
    )
    (eager,), _ = originals(package, ["eager"], original="other.py:make", parameters={"a": "1"})
    assert eager.call.arguments["request"].parameters == {"a": "1"}


def test_a_package_of_an_onnx_from_elsewhere_has_no_pytorch_original(package: Package) -> None:
    provenance = msgspec.structs.replace(package.provenance, original="onnx")
    package = msgspec.structs.replace(package, provenance=provenance)
    assert originals(package, ["eager", "compiled"]) == ([], [])


def test_the_original_of_a_graph_that_takes_pixels_has_the_same_steps(
    two_graphs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    package = reading.read(two_graphs)
    records.remember(package, REQUEST)
    for graph, pixels in ((None, False), ("model", False), ("model-uint8", True)):
        (eager,), _ = originals(package, ["eager"], graph=graph)
        assert eager.call.arguments["request"].with_preprocessing is pixels
        assert eager.call.arguments["signature"] == package.graphs[pixels].signature


@pytest.mark.parametrize(
    ("available", "label", "device"),
    [(True, "PyTorch eager · cuda", "cuda:1"), (False, "PyTorch eager · cpu", "cpu")],
)
def test_beside_a_gpu_the_label_says_where_the_original_runs(
    available: bool, label: str, device: str, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    records.remember(package, REQUEST)
    session = SessionChoice(provider="cuda", provider_options={"device_id": "1"})
    (eager,), _ = originals(package, ["eager"], how=How(session, arrays="device"))
    assert eager.label == label
    assert eager.call.arguments["beside"] == Beside(device, "device")


@pytest.mark.parametrize(
    ("options", "override"), [({}, {"NVIDIA_TF32_OVERRIDE": "0"}), ({"use_tf32": "1"}, {})]
)
def test_the_original_gets_the_environment_of_the_provider(
    options: dict[str, str], override: dict[str, str], package: Package
) -> None:
    records.remember(package, REQUEST)
    how = How(SessionChoice(provider="cuda", provider_options=options))
    (eager,), _ = originals(package, ["eager"], how=how)
    assert eager.call.environment == {"TORCHINDUCTOR_COMPILE_THREADS": "1", **override}
