from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest

from edgekit import providers
from edgekit.doctor import nvidia
from edgekit.doctor.report import Finding
from edgekit.graphics import Gpu, Graphics
from edgekit.providers import libraries

Installed = Callable[[dict[str, str]], None]
NONE = Graphics(none_because="there is no NVIDIA device")
H100 = Gpu("NVIDIA H100", "9.0", 81559, "580.65", "13.0", "GPU-1")


def found(seen: Graphics) -> dict[str, Finding]:
    return {finding.subject: finding for finding in nvidia.examine(seen)}


def test_without_a_gpu_and_a_build_for_one_there_is_nothing_to_say(installed: Installed) -> None:
    installed({"onnxruntime": "1.32.0"})
    assert nvidia.examine(NONE) == ()


def test_a_gpu_is_told_with_its_driver(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed({"onnxruntime-gpu": "1.31.1"})
    monkeypatch.setattr(onnxruntime, "cuda_version", "13.0", raising=False)
    rows = found(Graphics(gpus=(H100,)))
    assert rows["NVIDIA GPU"].says == "NVIDIA H100, compute capability 9.0, 81559 MiB."
    assert rows["driver"].says == "580.65, for CUDA up to 13.0; CUDA 13.0 is needed."
    assert rows["driver"].severity == "ok"
    two = nvidia.examine(Graphics(gpus=(H100, H100)))
    assert two[0].says == "2 x NVIDIA H100, compute capability 9.0, 81559 MiB."
    assert two[1].subject == "driver"


def test_an_old_driver_is_a_problem(installed: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    installed({"onnxruntime-gpu": "1.31.1"})
    monkeypatch.setattr(onnxruntime, "cuda_version", "13.0", raising=False)
    rows = found(Graphics(gpus=(Gpu("NVIDIA T4", driver="450.51", cuda_version="11.0"),)))
    assert rows["NVIDIA GPU"].says == "NVIDIA T4."
    assert rows["driver"].severity == "problem"
    assert rows["driver"].mend


def test_a_driver_of_which_little_is_known_is_told_as_it_is(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed({"onnxruntime": "1.32.0"})
    monkeypatch.setattr(onnxruntime, "cuda_version", "", raising=False)
    rows = found(Graphics(gpus=(Gpu("NVIDIA T4", driver="450.51"),)))
    assert rows["driver"].says == "450.51."
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert found(Graphics(gpus=(H100,)))["driver"].says == "580.65, for CUDA up to 13.0."


@pytest.mark.skipif(sys.platform != "linux", reason="libraries are looked for on Linux alone")
def test_libraries_are_told_as_needed_and_as_found(
    installed: Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    monkeypatch.setattr(libraries, "_cached", dict)
    installed({"onnxruntime-gpu": "1.31.1", "nvidia-cuda-runtime": "13.0.96"})
    for file in ("nvidia/cu13/lib/libcudart.so.13", "tensorrt_libs/libnvinfer.so.11"):
        (tmp_path / "site" / file).parent.mkdir(parents=True)
        (tmp_path / "site" / file).write_text("")
    rows = found(NONE)
    assert rows["CUDA"].severity == "ok"
    assert "libcudart.so.13 is needed and found: " in rows["CUDA"].says
    assert rows["CUDA"].says.endswith("libcudart.so.13, of nvidia-cuda-runtime 13.0.96.")
    assert rows["cuDNN"].says == "libcudnn.so.9 is needed, and none is found."
    assert rows["TensorRT"].severity == "note"
    assert "libnvinfer.so.10 is needed, and found is only " in rows["TensorRT"].says
    assert "libnvinfer.so.11" in rows["TensorRT"].says


def test_elsewhere_libraries_are_not_looked_for(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed({"onnxruntime-gpu": "1.31.1"})
    monkeypatch.setattr(sys, "platform", "win32")
    assert found(NONE)["cuDNN"].says == "libcudnn.so.9 is needed; not looked for here."


@pytest.mark.parametrize(
    ("name", "nvidias"),
    [("cuda", True), ("tensorrt", True), ("tensorrt-rtx", True), ("cpu", False), ("qnn", False)],
)
def test_providers_of_nvidia_are_known_by_what_they_load(name: str, nvidias: bool) -> None:
    assert nvidia.matters(providers.find(name)) == nvidias
