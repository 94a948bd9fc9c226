from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest

from edgekit import hardware, providers
from edgekit.package.values import SessionChoice

Installed = Callable[[dict[str, str]], None]
GPU_BUILD = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
CPU_BUILD = ["AzureExecutionProvider", "CPUExecutionProvider"]
OPENVINO = {"onnxruntime": "1.32.0", "onnxruntime-ep-openvino": "1.8.1"}


@pytest.fixture
def built_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], None]:
    def fake(available: list[str]) -> None:
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)

    return fake


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    def fake(model: str | None) -> None:
        monkeypatch.setattr(hardware, "graphics", lambda root: (model, "550.1" if model else None))

    return fake


@pytest.fixture
def x86(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "platform_names", lambda: ("x86_64", "Linux 6.1.0"))


def diagnose(name: str) -> providers.Diagnosis:
    found = providers.find(name).diagnose()
    assert bool(found.mend) == bool(found.cause) == bool(found.needed) == (not found.usable)
    return found


def test_cpu_is_usable_with_the_real_onnxruntime() -> None:
    found = diagnose("cpu")
    assert found.usable
    assert onnxruntime.__version__ in found.found


@pytest.mark.parametrize(
    ("name", "extra"),
    [("cpu", "cpu"), ("cuda", "gpu"), ("tensorrt", "tensorrt"), ("openvino", "openvino")],
)
def test_without_onnxruntime_the_extra_is_named(
    name: str, extra: str, installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed({})
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    found = diagnose(name)
    assert found.cause == "onnxruntime is not installed"
    assert found.mend == f"Run: pip install 'edgekit-onnx[{extra}]'"


def test_an_onnxruntime_that_cannot_be_imported_is_told_apart_from_none(
    installed: Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed({"onnxruntime": "1.32.0"})
    (tmp_path / "site/onnxruntime.py").write_text("raise OSError('libfoo.so: cannot open')")
    monkeypatch.delitem(sys.modules, "onnxruntime")
    found = diagnose("cpu")
    assert found.cause == "onnxruntime 1.32.0 is installed and cannot be imported: " + (
        "libfoo.so: cannot open"
    )
    assert "pip uninstall -y onnxruntime && pip install 'edgekit-onnx[cpu]'" in found.mend


def test_a_module_that_only_has_the_name_is_no_onnxruntime(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed({})
    empty = types.ModuleType("onnxruntime")
    empty.__path__ = ["/somewhere/onnxruntime"]
    monkeypatch.setitem(sys.modules, "onnxruntime", empty)
    assert "/somewhere/onnxruntime" in diagnose("cpu").cause


@pytest.mark.parametrize(("name", "extra"), [("cuda", "gpu"), ("tensorrt", "tensorrt")])
def test_a_gpu_provider_without_its_build_names_what_is_missing(
    name: str, extra: str, installed: Installed, built_with: Callable[[list[str]], None]
) -> None:
    installed({"onnxruntime": "1.32.0"})
    built_with(CPU_BUILD)
    found = diagnose(name)
    assert found.cause.startswith("onnxruntime-gpu ")
    assert "not installed" in found.cause
    assert "CPUExecutionProvider" in found.found
    # Installing beside the other would break both.
    assert f"pip uninstall -y onnxruntime && pip install 'edgekit-onnx[{extra}]'" in found.mend


def test_two_onnxruntimes_are_a_conflict(
    installed: Installed, built_with: Callable[[list[str]], None]
) -> None:
    installed({"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.31.1"})
    built_with(CPU_BUILD)
    found = diagnose("cuda")
    assert "overwrite each other" in found.cause
    assert (
        "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'edgekit-onnx[gpu]'"
        in found.mend
    )


def test_a_build_without_the_provider_is_said(
    installed: Installed, built_with: Callable[[list[str]], None]
) -> None:
    installed({"onnxruntime-gpu": "1.31.1"})
    built_with(CPU_BUILD)
    assert "this build of onnxruntime has no CUDA" in diagnose("cuda").cause


@pytest.mark.parametrize("name", ["cuda", "tensorrt"])
def test_a_gpu_build_without_a_gpu_is_not_usable(
    name: str,
    installed: Installed,
    built_with: Callable[[list[str]], None],
    gpu: Callable[[str | None], None],
) -> None:
    installed({"onnxruntime-gpu": "1.31.1", "tensorrt-cu13-libs": "10.9"})
    built_with(GPU_BUILD)
    gpu(None)
    assert "no NVIDIA GPU" in diagnose(name).cause
    assert diagnose("cpu").usable


def test_tensorrt_without_its_libraries_is_not_usable(
    installed: Installed,
    built_with: Callable[[list[str]], None],
    gpu: Callable[[str | None], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    installed({"onnxruntime-gpu": "1.31.1"})
    built_with(GPU_BUILD)
    gpu("NVIDIA L4")
    assert diagnose("cuda").usable
    assert "tensorrt-cu13-libs is not installed" in diagnose("tensorrt").cause
    installed({"tensorrt-cu13-libs": "10.9"})
    assert diagnose("tensorrt").usable


def test_cuda_computes_float32_in_float32_unless_told() -> None:
    cuda = providers.find("cuda")
    assert cuda.translate(SessionChoice(provider="cuda")).provider[1] == {"use_tf32": "0"}
    asked = SessionChoice(provider="cuda", provider_options={"use_tf32": "1"})
    assert cuda.translate(asked).provider[1] == {"use_tf32": "1"}


def test_openvino_is_told_threads_and_precision() -> None:
    openvino = providers.find("openvino")
    settings = openvino.translate(SessionChoice(provider="openvino", threads=3))
    assert settings.plugin == "onnxruntime-ep-openvino"
    name, options = settings.provider
    assert name == "OpenVINOExecutionProvider"
    assert json.loads(options["load_config"]) == {
        "CPU": {"INFERENCE_NUM_THREADS": "3", "INFERENCE_PRECISION_HINT": "f32"}
    }
    asked = SessionChoice(
        provider="openvino", provider_options={"INFERENCE_PRECISION_HINT": "bf16"}
    )
    assert '"bf16"' in openvino.translate(asked).provider[1]["load_config"]


@pytest.mark.usefixtures("x86")
def test_openvino_without_its_plugin_names_the_extra(installed: Installed) -> None:
    installed({"onnxruntime": "1.32.0"})
    found = diagnose("openvino")
    assert found.cause == "onnxruntime-ep-openvino is not installed"
    assert found.mend == "Run: pip install 'edgekit-onnx[openvino]'"


def test_openvino_is_refused_where_there_is_no_build(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(OPENVINO)
    monkeypatch.setattr(hardware, "platform_names", lambda: ("aarch64", "Linux 6.1.0"))
    assert "no build for aarch64" in diagnose("openvino").cause


@pytest.fixture
def plugin_library(
    installed: Installed, x86: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[tuple[str, str]]]:
    """Install a stand-in for the plug-in's package; gives what is registered with it."""
    from edgekit.providers import plugin

    installed(OPENVINO)
    info = tmp_path / "site/onnxruntime_ep_openvino-1.8.1.dist-info"
    (info / "top_level.txt").write_text("stand_in_for_openvino\n")
    code = "def get_library_path():\n    return '/somewhere/plugin.so'\n"
    (tmp_path / "site/stand_in_for_openvino.py").write_text(code)
    registered: list[tuple[str, str]] = []
    monkeypatch.setattr(
        onnxruntime,
        "register_execution_provider_library",
        lambda name, path: registered.append((name, path)),
    )
    monkeypatch.setattr(plugin, "_registered", set())
    yield registered
    sys.modules.pop("stand_in_for_openvino", None)


def devices(*names: str) -> Callable[[], list[Any]]:
    return lambda: [SimpleNamespace(ep_name=name) for name in names]


def test_openvino_is_registered_once_and_usable_with_a_device(
    plugin_library: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgekit.providers import plugin

    some = devices("CPUExecutionProvider", "OpenVINOExecutionProvider")
    monkeypatch.setattr(onnxruntime, "get_ep_devices", some)
    assert diagnose("openvino").usable
    assert diagnose("openvino").usable
    assert plugin_library == [("edgekit.onnxruntime-ep-openvino", "/somewhere/plugin.so")]
    found = plugin.devices("onnxruntime-ep-openvino", "OpenVINOExecutionProvider", extra="openvino")
    assert [device.ep_name for device in found] == ["OpenVINOExecutionProvider"]


@pytest.mark.usefixtures("plugin_library")
def test_openvino_without_a_device_is_not_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    # OpenVINO's plug-in loads on an AMD processor and offers nothing.
    some = devices("CPUExecutionProvider", "OpenVINOExecutionProvider.AUTO")
    monkeypatch.setattr(onnxruntime, "get_ep_devices", some)
    assert "finds no device" in diagnose("openvino").cause


@pytest.mark.usefixtures("plugin_library")
def test_openvino_that_cannot_be_loaded_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, path: str) -> None:
        raise RuntimeError("version 99 is too new")

    monkeypatch.setattr(onnxruntime, "register_execution_provider_library", refuse)
    assert "version 99 is too new" in diagnose("openvino").cause
