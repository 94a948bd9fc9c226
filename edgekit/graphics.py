"""The NVIDIA GPUs that this process can use, and their driver.

Asked of the driver through `nvidia-ml-py` where that is installed, else of the program
`nvidia-smi`, else read from what the kernel says; nothing of it is done where there is no device
file. `root` is where `/proc` and `/dev` lie. Nothing here raises: what can't be told stays empty.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The environment variable that says which GPUs CUDA may show to a process."""

NO_DEVICE = "there is no NVIDIA device"
"""Why there is no GPU on most machines."""

_PATIENCE_S = 10.0
"""How long nvidia-smi may take: a second or two where the driver has to be loaded first."""

_WINDOWS_DRIVER = "System32/nvml.dll"


class Gpu(msgspec.Struct, frozen=True):
    """An NVIDIA GPU.

    `compute_capability` is like "9.0", `memory_mb` in MiB, `driver` the driver's version and
    `cuda_version` the newest CUDA that it supports, like "13.0". What can't be told is empty, or 0.
    """

    name: str
    compute_capability: str = ""
    memory_mb: int = 0
    driver: str = ""
    cuda_version: str = ""
    uuid: str = ""


class Graphics(msgspec.Struct, frozen=True):
    """The GPUs that this process can use; `hidden` are there too and kept from it.

    `none_because` says in half a sentence why there are none to use.
    """

    gpus: tuple[Gpu, ...] = ()
    hidden: tuple[Gpu, ...] = ()
    none_because: str = ""

    @property
    def summary(self) -> str | None:
        """Name the usable GPUs, those of a kind counted: ``2 x NVIDIA L4``."""
        names = [gpu.name for gpu in self.gpus]
        kinds = sorted(set(names))
        return (
            " + ".join(f"{n} x {kind}" if (n := names.count(kind)) > 1 else kind for kind in kinds)
            or None
        )

    @property
    def driver(self) -> str | None:
        """The version of the driver."""
        return next((gpu.driver for gpu in (*self.gpus, *self.hidden) if gpu.driver), None)


def look(*, root: Path = Path("/")) -> Graphics:
    """Ask the driver for all that it says of its GPUs: 20 ms and more where there is a device."""
    if (problem := _no_device(root)) is not None:
        return Graphics(none_because=problem)
    found, problem = _asked(root)
    return _visible(found) if found else Graphics(none_because=problem)


def glance(*, root: Path = Path("/")) -> Graphics:
    """Tell the GPUs' names and the driver's version; no process is started where the kernel has
    them. Their other facts may be empty."""
    if (problem := _no_device(root)) is not None:
        return Graphics(none_because=problem)
    found = _read_kernel(root)
    return _visible(found) if found else look(root=root)


@cache  # a driver and its GPUs stay the same while a process lives, and nvidia-smi is slow
def _asked(root: Path) -> tuple[tuple[Gpu, ...], str]:
    """Ask whoever knows, and say why nobody does."""
    found, problem = _ask_nvml()
    if not found:
        found, said = _ask_nvidia_smi()
        problem = problem or said
    return tuple(found or _read_kernel(root)), problem or "the driver names no GPU"


def _no_device(root: Path) -> str | None:
    """Say why there is no device; None where there is one.

    In a container the kernel's files name the host's GPUs, whether or not it was given any; what
    counts is the device file. `/dev/dxg` is that of the Windows subsystem for Linux.
    """
    if any((root / f"dev/{name}").exists() for name in ("nvidiactl", "dxg")):
        return None
    if os.name == "nt" and (Path(os.environ.get("SYSTEMROOT", "")) / _WINDOWS_DRIVER).exists():
        return None
    if _read_kernel(root):
        return "the kernel has an NVIDIA driver, and this process was given no device of it"
    return NO_DEVICE


def _visible(found: Sequence[Gpu]) -> Graphics:
    """Part what CUDA may show to this process from the rest.

    CUDA takes a list of numbers or of uuids' beginnings and stops at the first that it doesn't
    know. It numbers the fastest first unless told otherwise, the driver by their place on the bus:
    with GPUs of several kinds the ones named here may be others.
    """
    asked = os.environ.get(VISIBLE)
    if asked is None:
        return Graphics(gpus=tuple(found))
    if asked.strip().startswith("MIG-"):  # a slice of a GPU, which isn't numbered
        return Graphics(gpus=tuple(found))
    shown: list[Gpu] = []
    for word in map(str.strip, asked.split(",")):
        index = int(word) if re.fullmatch(r"[0-9]{1,4}", word) else None
        if index is not None and index < len(found):
            shown.append(found[index])
        elif word.startswith("GPU-") and (named := [g for g in found if g.uuid.startswith(word)]):
            shown.append(named[0])
        else:
            break
    hidden = tuple(gpu for gpu in found if gpu not in shown)
    because = "" if shown else f"hidden by {VISIBLE}={asked!r}"
    return Graphics(gpus=tuple(shown), hidden=hidden, none_because=because)


def _ask_nvml() -> tuple[list[Gpu], str]:
    """Ask through nvidia-ml-py; with it comes why the driver didn't answer."""
    try:
        pynvml = importlib.import_module("pynvml")  # without types of its own
    except Exception:  # not installed, or another module of that name
        return [], ""
    try:
        pynvml.nvmlInit()
    except Exception as error:  # its own errors share no base class with anything
        return [], f"the NVIDIA driver does not answer: {error}"
    try:
        return _nvml_gpus(pynvml), ""
    except Exception as error:
        return [], f"the NVIDIA driver does not answer: {error}"
    finally:
        pynvml.nvmlShutdown()


def _nvml_gpus(nvml: Any) -> list[Gpu]:
    driver = _text(nvml.nvmlSystemGetDriverVersion())
    number = int(nvml.nvmlSystemGetCudaDriverVersion_v2())  # 13020 is CUDA 13.2
    found = []
    for index in range(nvml.nvmlDeviceGetCount()):
        device = nvml.nvmlDeviceGetHandleByIndex(index)
        capability = nvml.nvmlDeviceGetCudaComputeCapability(device)
        found.append(
            Gpu(
                name=_text(nvml.nvmlDeviceGetName(device)),
                compute_capability=".".join(map(str, capability)),
                memory_mb=int(nvml.nvmlDeviceGetMemoryInfo(device).total) // 2**20,
                driver=driver,
                cuda_version=f"{number // 1000}.{number % 1000 // 10}",
                uuid=_text(nvml.nvmlDeviceGetUUID(device)),
            )
        )
    return found


def _text(said: Any) -> str:
    """Older releases of nvidia-ml-py answer in bytes."""
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


def _ask_nvidia_smi() -> tuple[list[Gpu], str]:
    """Ask the driver's own program; with it comes why it didn't answer."""
    query = "name,driver_version,memory.total,uuid"
    answer, said = _nvidia_smi(f"--query-gpu={query},compute_cap", "--format=csv,noheader,nounits")
    if answer is None and "compute_cap" in said:  # which drivers before 510 don't know
        answer, said = _nvidia_smi(f"--query-gpu={query}", "--format=csv,noheader,nounits")
    rows = [row for line in (answer or "").splitlines() if len(row := line.split(", ")) >= 4]
    if not rows:
        return [], said
    header, _ = _nvidia_smi()
    cuda = re.search(r"CUDA[A-Za-z ]*Version\s*:\s*(\d+\.\d+)", header or "")
    return [
        Gpu(
            name=row[0].strip(),
            driver=row[1].strip(),
            memory_mb=int(row[2]) if row[2].strip().isdecimal() else 0,
            uuid=row[3].strip(),
            compute_capability=row[4].strip() if len(row) > 4 else "",
            cuda_version=cuda[1] if cuda else "",
        )
        for row in rows
    ], ""


def _nvidia_smi(*arguments: str) -> tuple[str | None, str]:
    """Return what nvidia-smi prints, or None and why there is nothing."""
    import shutil
    import subprocess

    program = shutil.which("nvidia-smi")
    if program is None:
        return None, "there is no nvidia-smi to ask"
    try:
        done = subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, f"nvidia-smi does not answer within {_PATIENCE_S:g} s"
    except OSError as error:
        return None, f"nvidia-smi does not answer: {error}"
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()
        return None, f"nvidia-smi does not answer: {lines[0] if lines else done.returncode}"
    return done.stdout, ""


def _read_kernel(root: Path) -> list[Gpu]:
    """Read the kernel's own files, in the order of the bus."""
    version = re.search(r"\b\d{3}\.\d+(\.\d+)?\b", _read(root / "proc/driver/nvidia/version"))
    files = map(_read, sorted(root.glob("proc/driver/nvidia/gpus/*/information")))
    facts = (dict(_fields(text.splitlines())) for text in files)
    return [
        Gpu(
            name=fact["Model"],
            driver=version.group() if version else "",
            uuid=fact.get("GPU UUID", ""),
        )
        for fact in facts
        if fact.get("Model")
    ]


def _fields(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    for line in lines:
        key, _, value = line.partition(":")
        yield key.strip(), value.strip()


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
