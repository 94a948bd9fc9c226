"""Whether there is an NVIDIA GPU, a driver that is new enough, and every library of CUDA's.

`edgekit.providers.diagnosis` hands these questions on.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgekit import graphics
from edgekit.installed import RUNTIMES, distributions, listed
from edgekit.providers import libraries as shared
from edgekit.providers.info import Diagnosis, Library

_DRIVERS = {"12": "525", "13": "580"}
"""The oldest series of drivers for each CUDA, from NVIDIA's table of CUDA's releases."""

_TENSORRT = (
    "tensorrt",
    "tensorrt-cu12",
    "tensorrt-cu12-libs",
    "tensorrt-cu13",
    "tensorrt-cu13-libs",
)


def graphics_problem() -> Diagnosis | None:
    """Ask whether there is an NVIDIA GPU; onnxruntime-gpu lists its providers without one."""
    seen = graphics.look()
    if seen.gpus:
        return None
    hidden = bool(seen.hidden)
    because = "" if seen.none_because == graphics.NO_DEVICE else seen.none_because
    return Diagnosis(
        usable=False,
        cause=": ".join(filter(None, ("no NVIDIA GPU can be seen from here", because))),
        found=seen.none_because,
        needed="an NVIDIA GPU and its driver",
        mend=f"Unset {graphics.VISIBLE}, or name a GPU in it."
        if hidden
        else "Use another provider; or, where there is a GPU, install NVIDIA's driver until "
        "nvidia-smi lists it, and start a container with its GPUs (docker run --gpus all).",
    )


def capability_problem(supported: tuple[str, ...]) -> Diagnosis | None:
    """Ask whether a GPU has one of some compute capabilities: "8.9", or "12." for all of 12."""
    gpus = graphics.look().gpus
    told = [gpu for gpu in gpus if gpu.compute_capability]
    if not told or any(gpu.compute_capability.startswith(supported) for gpu in told):
        return None
    kinds = sorted({f"{gpu.name} has compute capability {gpu.compute_capability}" for gpu in told})
    needed = ", ".join(f"{text}x" if text.endswith(".") else text for text in supported)
    return Diagnosis(
        usable=False,
        cause=f"{' and '.join(kinds)}, which it does not support",
        found="; ".join(kinds),
        needed=f"a GPU of compute capability {needed}",
        mend="Use another provider: cuda runs on this GPU.",
    )


def nvidia_problem(
    libraries: tuple[Library, ...], *, provider_library: str, extra: str, cuda: str = ""
) -> Diagnosis | None:
    """Ask for a GPU, a driver that is new enough, and every shared library, in this order.

    Args:
        libraries: those that the provider is known to load.
        provider_library: its own, a file in the folder `capi` of onnxruntime.
        extra: the extra that installs what is missing.
        cuda: the version of CUDA that it was built for; empty for onnxruntime's own.
    """
    import onnxruntime

    no_gpu = graphics_problem()
    if no_gpu is None:
        shared.preload()
    own = Path(str(onnxruntime.__file__)).parent / "capi" / provider_library
    missed = shared.missing(own, libraries, load=no_gpu is None)
    return first_of(
        no_gpu,
        _driver_problem(cuda or getattr(onnxruntime, "cuda_version", "")),
        _libraries_problem(missed, libraries, extra),
    )


def first_of(*problems: Diagnosis | None) -> Diagnosis | None:
    """Return the first of several problems, the others' causes beside it."""
    there = [problem for problem in problems if problem is not None]
    if not there:
        return None
    first, *others = there
    also = [said for other in others for said in (other.cause, *other.also)]
    mend = [first.mend, *(f"Then r{other.mend[1:]}" for other in others if _is_run(other.mend))]
    return msgspec.structs.replace(first, also=(*first.also, *also), mend=" ".join(mend))


def _is_run(mend: str) -> bool:
    return mend.startswith("Run: ")


def _driver_problem(cuda: str) -> Diagnosis | None:
    """Ask whether the driver is new enough; one of the same major version runs what is newer."""
    supports = {gpu.cuda_version for gpu in graphics.look().gpus} - {""}
    major = cuda.partition(".")[0]
    if not supports or not major or max(map(_major, supports)) >= int(major):
        return None
    driver, best = graphics.look().driver, max(supports, key=_major)
    since = f" ({_DRIVERS[major]} or newer)" if major in _DRIVERS else ""
    return Diagnosis(
        usable=False,
        cause=f"the NVIDIA driver {driver} supports CUDA up to {best}, and CUDA {cuda} is needed",
        found=f"driver {driver}, CUDA {best}",
        needed=f"a driver that supports CUDA {major}{since}",
        mend=f"Install a newer NVIDIA driver{since}.",
    )


def _libraries_problem(
    missed: tuple[shared.Missing, ...], libraries: tuple[Library, ...], extra: str
) -> Diagnosis | None:
    if not missed:
        return None
    first, *others = shared.in_words(missed)
    known = [library.distribution for library in libraries if library.distribution]
    brought = distributions((*RUNTIMES, *dict.fromkeys(known), *_TENSORRT))
    return Diagnosis(
        usable=False,
        cause=first,
        found=listed(brought),
        needed=", ".join(
            f"{one.asked} ({one.distribution})" if one.distribution else one.asked for one in missed
        ),
        mend=library_mend(missed, f"pip install 'edgekit-onnx[{extra}]'"),
        also=tuple(others),
    )


def library_mend(missed: tuple[shared.Missing, ...], install: str) -> str:
    """Say what to do about missing libraries; `install` is the command that brings most of them."""
    if all(one.asked.startswith(("libcuda.so", "libnvidia-ml.so")) for one in missed):
        return (
            "Install NVIDIA's driver with its part for CUDA; a container needs "
            "NVIDIA_DRIVER_CAPABILITIES=compute,utility."
        )
    tensorrt = [one for one in missed if one.asked.startswith(("libnvinfer", "libnvonnx"))]
    if not tensorrt:
        return f"Run: {install}"
    wrong = list(distributions(_TENSORRT)) if any(one.instead for one in tensorrt) else []
    remove = f"pip uninstall -y {' '.join(wrong)} && " if wrong else ""
    return (
        f"Run: {remove}{install}. That package fetches TensorRT from NVIDIA's server while it "
        "installs; where that is blocked, unpack NVIDIA's archive of that version and name its "
        "folder lib in LD_LIBRARY_PATH."
    )


def _major(version: str) -> int:
    return int(version.partition(".")[0])
