"""NVIDIA's side of it: GPUs, driver, CUDA, cuDNN and TensorRT, each as needed and as found."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from edgekit import providers
from edgekit.doctor.report import Finding
from edgekit.graphics import Graphics
from edgekit.installed import distributions, runtimes
from edgekit.providers.diagnosis import listed
from edgekit.providers.info import Library, ProviderInfo
from edgekit.providers.libraries import versions_of

_TOLD = {"libcudart.so": "CUDA", "libcudnn.so": "cuDNN", "libnvinfer.so": "TensorRT"}
"""The libraries whose version stands for all of their product's."""


def examine(seen: Graphics) -> tuple[Finding, ...]:
    """Say which GPUs there are, and what they need; nothing without a GPU or a build for one."""
    if not seen.gpus and "onnxruntime-gpu" not in runtimes():
        return ()
    driver = [_driver(seen)] if seen.gpus else []
    kinds = Counter((gpu.name, gpu.compute_capability, gpu.memory_mb) for gpu in seen.gpus)
    gpus = (_gpus(*kind, count=count) for kind, count in kinds.items())
    return (*gpus, *driver, *map(_library, _needed()))


def matters(provider: ProviderInfo) -> bool:
    """Tell whether a provider is one for NVIDIA's GPUs."""
    return any(library.file == "libcuda.so" for library in provider.libraries)


def _gpus(name: str, capability: str, memory_mb: int, *, count: int) -> Finding:
    facts = [
        f"{count} x {name}" if count > 1 else name,
        f"compute capability {capability}" if capability else "",
        f"{memory_mb} MiB" if memory_mb else "",
    ]
    return Finding("NVIDIA GPU", "ok", f"{', '.join(filter(None, facts))}.")


def _driver(seen: Graphics) -> Finding:
    supports = next((gpu.cuda_version for gpu in seen.gpus if gpu.cuda_version), "")
    says = f"{seen.driver}, for CUDA up to {supports}" if supports else f"{seen.driver}"
    built = _built_for()
    if built and supports and int(supports.partition(".")[0]) < int(built.partition(".")[0]):
        mend = "Install a newer NVIDIA driver."
        return Finding("driver", "problem", f"{says}; CUDA {built} is needed.", mend)
    return Finding("driver", "ok", f"{says}; CUDA {built} is needed." if built else f"{says}.")


def _built_for() -> str:
    try:
        import onnxruntime
    except Exception:  # said elsewhere, with its reason
        return ""
    return str(getattr(onnxruntime, "cuda_version", "") or "")


def _needed() -> list[Library]:
    known = [*providers.find("cuda").libraries, *providers.find("tensorrt").libraries]
    return [next(one for one in known if one.file == file) for file in _TOLD]


def _library(library: Library) -> Finding:
    """Say which version of a product is needed and which are here."""
    subject = _TOLD[library.file]
    if sys.platform != "linux":
        return Finding(subject, "note", f"{library.soname} is needed; not looked for here.")
    paths = [Path(path) for path in versions_of(library.file)]
    right = [path for path in paths if path.name.startswith(library.soname)]
    package = listed(distributions([library.distribution]))
    if right:
        says = f"{library.soname} is needed and found: {right[0].resolve()}"
        return Finding(subject, "ok", f"{says}, of {package}." if package else f"{says}.")
    there = f"found is only {', '.join(map(str, paths))}" if paths else "none is found"
    return Finding(subject, "note", f"{library.soname} is needed, and {there}.")
