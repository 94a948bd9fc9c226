from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit import graphics
from edgekit.graphics import VISIBLE, Gpu, Graphics

MakeRoot = Callable[..., Path]
H100 = Gpu("NVIDIA H100", "9.0", 81559, "580.65.06", "13.0", "GPU-aaaa-1")
L4 = Gpu("NVIDIA L4", "8.9", 23034, "580.65.06", "13.0", "GPU-bbbb-2")
needs_sh = pytest.mark.skipif(os.name == "nt", reason="the stand-in for nvidia-smi is a script")


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without a GPU's tools, whatever this machine has."""
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr("shutil.which", lambda name: None)


@pytest.fixture
def root_of(tmp_path: Path) -> MakeRoot:
    """Make a tree of the kernel's files, with the driver's device in it unless told otherwise."""

    def make(files: dict[str, str] | None = None, *, device: bool = True) -> Path:
        for name, text in {**({"dev/nvidiactl": ""} if device else {}), **(files or {})}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return make


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let a shell script stand in for nvidia-smi; it may look at its first argument, $1."""

    def install(script: str) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr("shutil.which", lambda name: str(program))

    return install


def nvml(gpus: list[Gpu], *, as_bytes: bool = False) -> Any:
    """Make a stand-in for nvidia-ml-py."""
    module: Any = types.ModuleType("pynvml")
    module.closed = 0

    def text(said: str) -> str | bytes:
        return said.encode() if as_bytes else said

    def shutdown() -> None:
        module.closed += 1

    module.nvmlInit = lambda: None
    module.nvmlShutdown = shutdown
    module.nvmlSystemGetDriverVersion = lambda: text(gpus[0].driver)
    module.nvmlSystemGetCudaDriverVersion_v2 = lambda: 13000
    module.nvmlDeviceGetCount = lambda: len(gpus)
    module.nvmlDeviceGetHandleByIndex = lambda index: gpus[index]
    module.nvmlDeviceGetName = lambda gpu: text(gpu.name)
    module.nvmlDeviceGetUUID = lambda gpu: text(gpu.uuid)
    module.nvmlDeviceGetCudaComputeCapability = lambda gpu: tuple(
        map(int, gpu.compute_capability.split("."))
    )
    module.nvmlDeviceGetMemoryInfo = lambda gpu: types.SimpleNamespace(total=gpu.memory_mb << 20)
    return module


KERNEL = {
    "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Module  580.65.06  Tue",
    "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t NVIDIA H100\nGPU UUID: GPU-aa\n",
    "proc/driver/nvidia/gpus/0000:02:00.0/information": "Model: \t NVIDIA L4\nGPU UUID: GPU-bb\n",
}


@pytest.mark.parametrize("as_bytes", [False, True])
def test_gpus_are_asked_of_nvidia_ml_py(
    as_bytes: bool, root_of: MakeRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = nvml([H100, L4], as_bytes=as_bytes)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    seen = graphics.look(root=root_of())
    assert seen == Graphics(gpus=(H100, L4))
    assert seen.summary == "NVIDIA H100 + NVIDIA L4"
    assert seen.driver == "580.65.06"
    assert fake.closed == 1


def test_nothing_is_asked_without_a_device(
    root_of: MakeRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml([H100]))
    seen = graphics.look(root=root_of(device=False))
    assert seen == Graphics(none_because="there is no NVIDIA device")
    assert (seen.summary, seen.driver) == (None, None)


def test_a_container_that_sees_the_hosts_kernel_has_no_gpu(root_of: MakeRoot) -> None:
    for look in (graphics.look, graphics.glance):
        seen = look(root=root_of(KERNEL, device=False))
        assert not seen.gpus
        assert "was given no device" in seen.none_because


@needs_sh
def test_gpus_are_asked_of_nvidia_smi_where_the_package_is_missing(
    root_of: MakeRoot, smi: Callable[[str], None]
) -> None:
    smi(
        'case "$1" in --query-gpu=*compute_cap*)\n'
        "echo 'NVIDIA H100, 580.65.06, 81559, GPU-aaaa-1, 9.0'\n"
        "echo 'NVIDIA L4, 580.65.06, 23034, GPU-bbbb-2, 8.9';;\n"
        "*) echo '| NVIDIA-SMI 580.65.06    Driver Version: 580.65.06    CUDA Version: 13.0 |'\n"
        "esac"
    )
    assert graphics.look(root=root_of()) == Graphics(gpus=(H100, L4))


@needs_sh
def test_an_old_nvidia_smi_is_asked_again_without_what_it_does_not_know(
    root_of: MakeRoot, smi: Callable[[str], None]
) -> None:
    smi(
        'case "$1" in *compute_cap*) echo Field "compute_cap" is not a valid field; exit 2;;\n'
        "--query*) echo 'NVIDIA T4, 450.51, [N/A], GPU-c';; *) echo nothing;; esac"
    )
    (gpu,) = graphics.look(root=root_of()).gpus
    assert gpu == Gpu("NVIDIA T4", driver="450.51", uuid="GPU-c")


@needs_sh
def test_an_nvidia_smi_that_hangs_is_asked_once(
    root_of: MakeRoot, smi: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(graphics, "_PATIENCE_S", 0.2)
    smi(f"echo asked >> {tmp_path / 'log'}; exec sleep 60")
    seen = graphics.look(root=root_of())
    assert seen.none_because == "nvidia-smi does not answer within 0.2 s"
    assert (tmp_path / "log").read_text() == "asked\n"


@needs_sh
@pytest.mark.parametrize("said", [r"\377\376, \200, x, y", r"A, 5, \302\262, u", ", , , , ,"])
def test_an_nvidia_smi_that_prints_garbage_spoils_nothing(
    said: str, root_of: MakeRoot, smi: Callable[[str], None]
) -> None:
    smi(f"printf '{said}\\n'")
    assert all(gpu.memory_mb == 0 for gpu in graphics.look(root=root_of()).gpus)


@needs_sh
def test_what_the_driver_answers_instead_is_the_reason(
    root_of: MakeRoot, smi: Callable[[str], None]
) -> None:
    smi("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18")
    seen = graphics.look(root=root_of())
    assert not seen.gpus
    assert seen.none_because.endswith("Driver/library version mismatch")


def test_a_package_that_finds_no_driver_is_the_reason(
    root_of: MakeRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = nvml([H100])

    def refuse() -> None:
        raise RuntimeError("NVML Shared Library Not Found")

    fake.nvmlInit = refuse
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    seen = graphics.look(root=root_of())
    assert seen.none_because == ("the NVIDIA driver does not answer: NVML Shared Library Not Found")


def test_a_driver_that_fails_half_way_is_let_go_of(
    root_of: MakeRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = nvml([H100])

    def fail() -> int:
        raise RuntimeError("GPU is lost")

    fake.nvmlDeviceGetCount = fail
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    assert graphics.glance(root=root_of()).none_because.endswith("GPU is lost")
    assert fake.closed == 1


def test_the_kernels_files_are_the_last_resort(root_of: MakeRoot) -> None:
    seen = graphics.look(root=root_of(KERNEL))
    assert [gpu.name for gpu in seen.gpus] == ["NVIDIA H100", "NVIDIA L4"]
    assert {gpu.driver for gpu in seen.gpus} == {"580.65.06"}
    assert [gpu.uuid for gpu in seen.gpus] == ["GPU-aa", "GPU-bb"]


def test_glance_asks_nobody_where_the_kernel_knows(
    root_of: MakeRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = nvml([H100])
    fake.nvmlInit = lambda: pytest.fail("the driver was asked")
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    assert graphics.glance(root=root_of(KERNEL)).summary == "NVIDIA H100 + NVIDIA L4"


@pytest.mark.parametrize(
    ("visible", "shown", "hidden"),
    [
        ("0", ["NVIDIA H100"], ["NVIDIA L4"]),
        ("1,0", ["NVIDIA L4", "NVIDIA H100"], []),
        (" 1 ", ["NVIDIA L4"], ["NVIDIA H100"]),
        ("GPU-bb", ["NVIDIA L4"], ["NVIDIA H100"]),
        ("1,7,0", ["NVIDIA L4"], ["NVIDIA H100"]),  # CUDA stops at what it doesn't know
        ("MIG-0b1c", ["NVIDIA H100", "NVIDIA L4"], []),
    ],
)
def test_only_visible_gpus_count(
    visible: str,
    shown: list[str],
    hidden: list[str],
    root_of: MakeRoot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VISIBLE, visible)
    seen = graphics.look(root=root_of(KERNEL))
    assert [gpu.name for gpu in seen.gpus] == shown
    assert [gpu.name for gpu in seen.hidden] == hidden
    assert seen.none_because == ""


@pytest.mark.parametrize("visible", ["", "-1", "none", "9"])
def test_hidden_gpus_are_said_to_be_hidden(
    visible: str, root_of: MakeRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VISIBLE, visible)
    seen = graphics.look(root=root_of(KERNEL))
    assert (seen.gpus, len(seen.hidden)) == ((), 2)
    assert seen.none_because == f"hidden by CUDA_VISIBLE_DEVICES={visible!r}"
    assert seen.summary is None


def test_two_of_a_kind_are_counted() -> None:
    assert Graphics(gpus=(L4, H100, L4)).summary == "NVIDIA H100 + 2 x NVIDIA L4"


def test_looking_at_this_machine_never_raises() -> None:
    seen = graphics.look()
    assert bool(seen.gpus) != bool(seen.none_because)
