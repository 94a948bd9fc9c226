from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest

from edgekit import graphics, hardware, providers
from edgekit.graphics import Gpu, Graphics
from edgekit.providers import diagnosis, libraries
from edgekit.providers.info import Library, Plugin
from edgekit.providers.libraries import Missing

Installed = Callable[[dict[str, str]], None]
BuiltWith = Callable[..., None]
Fake = Callable[..., None]
GPU_BUILD = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
CPU_BUILD = ["AzureExecutionProvider", "CPUExecutionProvider"]
OPENVINO = {"onnxruntime": "1.32.0", "onnxruntime-ep-openvino": "1.8.1"}
L4 = Gpu("NVIDIA L4", "8.9", 23034, "580.65", "13.0", "GPU-1")
NONE = Graphics(none_because="there is no NVIDIA device")


@pytest.fixture
def built_with(monkeypatch: pytest.MonkeyPatch) -> BuiltWith:
    """Let onnxruntime be a build with some providers, for some CUDA."""

    def fake(available: list[str], *, cuda: str = "") -> None:
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
        monkeypatch.setattr(onnxruntime, "cuda_version", cuda, raising=False)

    return fake


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Let this process see some GPUs, by default none."""

    def fake(*gpus: Gpu, because: Graphics = NONE) -> None:
        monkeypatch.setattr(graphics, "look", lambda **_: Graphics(gpus=gpus) if gpus else because)

    return fake


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Let some libraries be missing, by default none, whatever provider asks for them."""

    def fake(*missed: Missing) -> None:
        monkeypatch.setattr(libraries, "missing", lambda *_, **__: missed)

    return fake


@pytest.fixture
def x86(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "platform_names", lambda: ("x86_64", "Linux 6.1.0"))


def diagnose(name: str) -> providers.Diagnosis:
    found = providers.find(name).diagnose()
    assert bool(found.mend) == bool(found.cause) == bool(found.needed) == (not found.usable)
    assert not found.cause.endswith(".")
    return found


def test_cpu_is_usable_with_the_real_onnxruntime() -> None:
    found = diagnose("cpu")
    assert found.usable
    assert onnxruntime.__version__ in found.found


@pytest.mark.parametrize(
    ("name", "extra"),
    [("cpu", "cpu"), ("cuda", "gpu"), ("tensorrt", "tensorrt"), ("openvino", "openvino")],
)
@pytest.mark.usefixtures("x86")
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
def test_a_gpu_provider_without_its_build_names_the_package(
    name: str, extra: str, installed: Installed, built_with: BuiltWith, seen: Fake
) -> None:
    installed({"onnxruntime": "1.32.0"})
    built_with(CPU_BUILD)
    seen(L4)
    found = diagnose(name)
    assert found.cause == "onnxruntime-gpu is not installed"
    assert "CPUExecutionProvider" in found.found
    # Installing beside the other would break both.
    command = f"pip uninstall -y onnxruntime && pip install 'edgekit-onnx[{extra}]'"
    assert found.mend == f"Run: {command}"


def test_without_a_gpu_that_is_the_cause_and_the_package_comes_after(
    installed: Installed, built_with: BuiltWith, seen: Fake
) -> None:
    installed({"onnxruntime": "1.32.0"})
    built_with(CPU_BUILD)
    seen()
    found = diagnose("cuda")
    assert found.cause == "no NVIDIA GPU can be seen from here"
    assert found.also == ("onnxruntime-gpu is not installed",)
    assert found.mend.endswith(
        "Then run: pip uninstall -y onnxruntime && pip install 'edgekit-onnx[gpu]'"
    )


@pytest.mark.parametrize("build", [CPU_BUILD, GPU_BUILD])
def test_two_onnxruntimes_are_refused_for_a_gpu_whichever_is_imported(
    build: list[str], installed: Installed, built_with: BuiltWith, seen: Fake
) -> None:
    installed({"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.31.1"})
    built_with(build)
    seen(L4)
    found = diagnose("cuda")
    assert "overwrite each other" in found.cause
    assert (
        "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'edgekit-onnx[gpu]'"
        in found.mend
    )
    assert diagnose("cpu").usable


def test_two_onnxruntimes_are_a_sentence_with_what_mends_it(installed: Installed) -> None:
    installed({"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.31.1"})
    assert diagnosis.conflict() == (
        "onnxruntime 1.32.0 and onnxruntime-gpu 1.31.1 are both installed and overwrote each "
        "other's files; keep one of them: pip uninstall -y onnxruntime onnxruntime-gpu && "
        "pip install 'edgekit-onnx[gpu]'"
    )


def test_a_build_that_no_extra_brings_is_installed_by_its_name(installed: Installed) -> None:
    installed({"onnxruntime": "1.32.0", "onnxruntime-directml": "1.24.4"})
    assert diagnosis.conflict().endswith(
        "pip uninstall -y onnxruntime onnxruntime-directml && pip install onnxruntime-directml"
    )


@pytest.mark.parametrize("name", ["onnxruntime", "onnxruntime-gpu"])
def test_one_onnxruntime_is_no_conflict(name: str, installed: Installed) -> None:
    installed({name: "1.31.1", "onnxruntime-ep-openvino": "1.8.1", "onnxruntime-qnn": "2.7.0"})
    assert diagnosis.conflict() == ""


def test_whoever_lists_files_of_onnxruntime_counts(installed: Installed, tmp_path: Path) -> None:
    installed({"onnxruntime": "1.32.0", "onnxruntime-qnn": "1.20.0"})
    record = tmp_path / "site/onnxruntime_qnn-1.20.0.dist-info/RECORD"
    record.write_text("onnxruntime/__init__.py,sha256=x,1\n")
    assert diagnosis.conflict().startswith("onnxruntime 1.32.0 and onnxruntime-qnn 1.20.0 are both")


def test_a_build_without_the_provider_is_said(
    installed: Installed, built_with: BuiltWith, seen: Fake
) -> None:
    installed({"onnxruntime-gpu": "1.31.1"})
    built_with(CPU_BUILD)
    seen(L4)
    assert "this build of onnxruntime has no CUDA" in diagnose("cuda").cause


@pytest.mark.parametrize("name", ["xnnpack", "coreml"])
def test_a_provider_that_no_package_brings_is_said_to_need_a_build(
    name: str, installed: Installed, built_with: BuiltWith
) -> None:
    installed({"onnxruntime": "1.32.0"})
    built_with([*CPU_BUILD, "edgekit.0123456789ab"])
    found = diagnose(name)
    assert "this build of onnxruntime has no " in found.cause
    assert "edgekit." not in found.found  # a plug-in that was registered is no part of the build
    assert found.mend.startswith("Use another provider")


@pytest.mark.parametrize("name", ["cuda", "tensorrt"])
def test_a_gpu_build_without_a_gpu_names_it_first_and_libraries_after(
    name: str, installed: Installed, built_with: BuiltWith, seen: Fake, missing: Fake
) -> None:
    installed({"onnxruntime-gpu": "1.31.1", "tensorrt-cu13-libs": "10.9"})
    built_with(GPU_BUILD, cuda="13.0")
    seen()
    missing(Missing("libcublasLt.so.13"), Missing("libcuda.so.1"))
    found = diagnose(name)
    assert found.cause == "no NVIDIA GPU can be seen from here"
    assert found.also == ("libcublasLt.so.13 and libcuda.so.1 cannot be found",)
    assert diagnose("cpu").usable


def test_hidden_gpus_are_said_to_be_hidden(
    installed: Installed, built_with: BuiltWith, seen: Fake, missing: Fake
) -> None:
    installed({"onnxruntime-gpu": "1.31.1"})
    built_with(GPU_BUILD)
    missing()
    seen(because=Graphics(hidden=(L4,), none_because="hidden by CUDA_VISIBLE_DEVICES=''"))
    found = diagnose("cuda")
    assert found.cause == "no NVIDIA GPU can be seen from here: hidden by CUDA_VISIBLE_DEVICES=''"
    assert found.mend == "Unset CUDA_VISIBLE_DEVICES, or name a GPU in it."
    assert not found.also


def test_a_driver_that_does_not_answer_is_said(
    installed: Installed, built_with: BuiltWith, seen: Fake, missing: Fake
) -> None:
    installed({"onnxruntime-gpu": "1.31.1"})
    built_with(GPU_BUILD)
    missing()
    seen(because=Graphics(none_because="the NVIDIA driver does not answer: GPU is lost"))
    assert diagnose("cuda").cause == (
        "no NVIDIA GPU can be seen from here: the NVIDIA driver does not answer: GPU is lost"
    )


@pytest.mark.parametrize(
    ("driver", "supports", "built", "usable"),
    [
        ("550.54", "12.4", "13.0", False),
        ("580.65", "13.0", "13.0", True),
        ("580.65", "13.0", "13.4", True),  # minor versions are compatible
        ("610.1", "14.0", "13.0", True),
        ("550.54", "12.4", "12.8", True),
        ("580.65", "", "13.0", True),  # it can't be told, so it isn't judged
        ("580.65", "13.0", "", True),
    ],
)
def test_a_driver_that_is_too_old_is_refused(
    driver: str,
    supports: str,
    built: str,
    usable: bool,
    installed: Installed,
    built_with: BuiltWith,
    seen: Fake,
    missing: Fake,
) -> None:
    installed({"onnxruntime-gpu": "1.31.1"})
    built_with(GPU_BUILD, cuda=built)
    seen(Gpu("NVIDIA L4", "8.9", 23034, driver, supports))
    missing()
    found = diagnose("cuda")
    assert found.usable == usable
    if not usable:
        assert found.cause == (
            "the NVIDIA driver 550.54 supports CUDA up to 12.4, and CUDA 13.0 is needed"
        )
        assert found.mend == "Install a newer NVIDIA driver (580 or newer)."


def test_a_missing_library_names_the_extra_that_brings_it(
    installed: Installed, built_with: BuiltWith, seen: Fake, missing: Fake
) -> None:
    installed({"onnxruntime-gpu": "1.31.1", "nvidia-cublas": "13.0"})
    built_with(GPU_BUILD, cuda="13.0")
    seen(L4)
    missing(Missing("libcudnn.so.9", "nvidia-cudnn-cu13"))
    found = diagnose("cuda")
    assert found.cause == "libcudnn.so.9 cannot be found"
    assert found.found == "onnxruntime-gpu 1.31.1, nvidia-cublas 13.0"
    assert found.needed == "libcudnn.so.9 (nvidia-cudnn-cu13)"
    assert found.mend == "Run: pip install 'edgekit-onnx[gpu]'"


def test_a_missing_library_of_the_driver_is_no_package(
    installed: Installed, built_with: BuiltWith, seen: Fake, missing: Fake
) -> None:
    installed({"onnxruntime-gpu": "1.31.1"})
    built_with(GPU_BUILD)
    seen(L4)
    missing(Missing("libcuda.so.1"))
    assert "NVIDIA_DRIVER_CAPABILITIES" in diagnose("cuda").mend


def test_tensorrt_of_the_wrong_version_is_recognised(
    installed: Installed, built_with: BuiltWith, seen: Fake, missing: Fake
) -> None:
    installed({"onnxruntime-gpu": "1.31.1", "tensorrt": "11.2", "tensorrt-cu13-libs": "11.2"})
    built_with(GPU_BUILD)
    seen(L4)
    missing(Missing("libnvinfer.so.10", "tensorrt-cu13-libs", instead=("/x/libnvinfer.so.11",)))
    found = diagnose("tensorrt")
    assert found.cause == (
        "libnvinfer.so.10 is asked for and cannot be found, only /x/libnvinfer.so.11"
    )
    assert "tensorrt-cu13-libs 11.2" in found.found
    assert found.mend.startswith(
        "Run: pip uninstall -y tensorrt tensorrt-cu13-libs && pip install 'edgekit-onnx[tensorrt]'"
    )
    assert "fetches TensorRT from NVIDIA's server" in found.mend


def test_everything_there_is_usable(
    installed: Installed, built_with: BuiltWith, seen: Fake, missing: Fake
) -> None:
    installed({"onnxruntime-gpu": "1.31.1", "tensorrt-cu13-libs": "10.16"})
    built_with(GPU_BUILD, cuda="13.0")
    seen(L4)
    missing()
    assert diagnose("cuda").usable
    assert "tensorrt-cu13-libs 10.16" in diagnose("tensorrt").found


def test_libraries_are_loaded_only_where_there_is_a_gpu(
    installed: Installed, built_with: BuiltWith, seen: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed({"onnxruntime-gpu": "1.31.1"})
    built_with(GPU_BUILD)
    asked: list[tuple[str, bool]] = []

    def remember(own: Path, wanted: tuple[Library, ...], *, load: bool) -> tuple[Missing, ...]:
        asked.append((own.name, load))
        return ()

    monkeypatch.setattr(libraries, "missing", remember)
    seen()
    diagnose("cuda")
    seen(L4)
    diagnose("cuda")
    own = "libonnxruntime_providers_cuda.so"
    assert asked == [(own, False), (own, True)]


@pytest.mark.parametrize(
    ("capability", "fits"), [("8.9", True), ("12.0", True), ("9.0", False), ("", True)]
)
def test_compute_capabilities_that_are_not_supported_are_named(
    capability: str, fits: bool, seen: Fake
) -> None:
    seen(Gpu("NVIDIA X", capability))
    found = diagnosis.capability_problem(("7.5", "8.6", "8.9", "12."))
    assert (found is None) == fits
    if found is not None:
        assert found.cause == "NVIDIA X has compute capability 9.0, which it does not support"
        assert found.needed == "a GPU of compute capability 7.5, 8.6, 8.9, 12.x"


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
    monkeypatch.setattr(plugin, "_registered", {})
    yield registered
    sys.modules.pop("stand_in_for_openvino", None)


def devices(*names: str) -> Callable[[], list[Any]]:
    cpu = {"ov_device": "CPU"}
    return lambda: [SimpleNamespace(ep_name=name, ep_metadata=cpu) for name in names]


def test_openvino_is_registered_once_and_usable_with_a_device(
    plugin_library: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    some = devices("CPUExecutionProvider", "OpenVINOExecutionProvider")
    monkeypatch.setattr(onnxruntime, "get_ep_devices", some)
    assert diagnose("openvino").usable
    assert diagnose("openvino").usable
    assert [path for _, path in plugin_library] == ["/somewhere/plugin.so"]


@pytest.mark.usefixtures("plugin_library")
def test_openvino_is_given_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgekit.providers import plugin

    name = "OpenVINOExecutionProvider"
    cpu, gpu = (SimpleNamespace(ep_name=name, ep_metadata={"ov_device": d}) for d in ("CPU", "GPU"))
    seen: list[Any] = []
    monkeypatch.setattr(onnxruntime, "get_ep_devices", lambda: list(seen))
    monkeypatch.setattr(
        onnxruntime, "register_execution_provider_library", lambda *_: seen.extend([gpu, cpu])
    )
    info = providers.find("openvino")
    assert info.plugin is not None
    assert plugin.devices(info.plugin, name, extra="openvino") == [cpu]


@pytest.mark.usefixtures("plugin_library")
def test_openvino_without_a_device_says_what_it_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    # OpenVINO's plug-in loads on an AMD processor and offers nothing.
    some = devices("CPUExecutionProvider", "OpenVINOExecutionProvider.AUTO")
    monkeypatch.setattr(onnxruntime, "get_ep_devices", some)
    assert diagnose("openvino").cause == (
        "onnxruntime-ep-openvino finds no device here: it supports an Intel processor"
    )


@pytest.mark.usefixtures("plugin_library")
def test_openvino_that_cannot_be_loaded_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, path: str) -> None:
        raise RuntimeError("[ONNXRuntimeError] : 1 : FAIL : version 99 is too new")

    monkeypatch.setattr(onnxruntime, "register_execution_provider_library", refuse)
    assert diagnose("openvino").cause == (
        "onnxruntime cannot load onnxruntime-ep-openvino: version 99 is too new"
    )


LOADER = (
    "[ONNXRuntimeError] : 1 : FAIL : Failed to load library /x/plugin.so with error: "
    "libcuda.so.1: cannot open shared object file: No such file or directory"
)


@pytest.mark.parametrize("gpus", [(), (L4,)])
@pytest.mark.usefixtures("plugin_library")
def test_a_plugin_that_misses_cuda_is_asked_for_its_gpu_first(
    gpus: tuple[Gpu, ...], seen: Fake, missing: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str, path: str) -> None:
        raise RuntimeError(LOADER)

    monkeypatch.setattr(onnxruntime, "register_execution_provider_library", refuse)
    seen(*gpus)
    missing(Missing("libcuda.so.1"), Missing("libnvidia-ml.so.1"))
    found = diagnose("openvino")
    cannot = (
        "onnxruntime cannot load onnxruntime-ep-openvino: libcuda.so.1 and libnvidia-ml.so.1 "
        "cannot be found"
    )
    if gpus:
        assert (found.cause, found.also) == (cannot, ())
        assert "NVIDIA_DRIVER_CAPABILITIES" in found.mend
    else:
        assert (found.cause, found.also) == ("no NVIDIA GPU can be seen from here", (cannot,))


def test_a_plugin_by_its_path_need_not_be_installed(installed: Installed, tmp_path: Path) -> None:
    installed({"onnxruntime": "1.32.0"})
    gone = Plugin("", str(tmp_path / "gone.so"))
    found = diagnosis.plugin_problem(gone, "some_ep", extra="cpu", hardware="beads")
    assert found is not None
    assert found.cause == f"there is no file {tmp_path / 'gone.so'}"
    text = tmp_path / "text.so"
    text.write_text("not a library")
    found = diagnosis.plugin_problem(Plugin("", str(text)), "some_ep", extra="", hardware="beads")
    assert found is not None
    assert f"onnxruntime cannot load {text}: " in found.cause
    assert "built for this onnxruntime" in found.mend


def test_a_plugin_for_nvidia_that_is_not_installed_asks_for_a_gpu_first(
    installed: Installed, seen: Fake
) -> None:
    installed({"onnxruntime": "1.32.0"})
    seen()
    found = diagnosis.plugin_problem(
        Plugin("some-plugin"),
        "SomeExecutionProvider",
        extra="",
        hardware="an NVIDIA GPU",
        libraries=(Library("libcuda.so", "1"),),
    )
    assert found is not None
    assert found.cause == "no NVIDIA GPU can be seen from here"
    assert found.also == ("some-plugin is not installed",)
    assert found.mend.endswith("Then run: pip install some-plugin")
