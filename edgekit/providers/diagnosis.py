"""Whether a provider can be used here, for all providers alike.

Each question is a function that returns a `Diagnosis` where the answer is no, and None where the
next one may be asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import msgspec

from edgekit import graphics
from edgekit.installed import (
    RUNTIMES,
    conflict,
    distributions,
    install_command,
    listed,
    runtimes,
)
from edgekit.providers import libraries as shared
from edgekit.providers.info import Diagnosis, Library, Plugin

__all__ = [
    "build_problem",
    "capability_problem",
    "conflict",
    "graphics_problem",
    "install_command",
    "listed",
    "nvidia_problem",
    "plugin_problem",
    "runtime_problem",
    "usable",
]

_CPU = "CPUExecutionProvider"
_NVIDIA_BUILD = "onnxruntime-gpu"
_DRIVERS = {"12": "525", "13": "580"}
"""The oldest series of drivers for each CUDA, from NVIDIA's table of CUDA's releases."""

_TENSORRT = (
    "tensorrt",
    "tensorrt-cu12",
    "tensorrt-cu12-libs",
    "tensorrt-cu13",
    "tensorrt-cu13-libs",
)


def runtime_problem(extra: str) -> Diagnosis | None:
    """Ask whether onnxruntime is installed and can be imported."""
    installed = runtimes()
    extra = extra or "cpu"
    try:
        import onnxruntime
    except Exception as error:  # a broken wheel, or one made for another numpy, raises anything
        if not installed:
            return _refusal("onnxruntime is not installed", extra, found="no onnxruntime")
        return Diagnosis(
            usable=False,
            cause=f"{listed(installed)} is installed and cannot be imported: {error}",
            found=listed(installed),
            needed="an onnxruntime that can be imported",
            mend=f"Run: pip uninstall -y {' '.join(installed)} && "
            f"pip install 'edgekit-onnx[{extra}]'",
        )
    if not hasattr(onnxruntime, "get_available_providers"):
        return Diagnosis(
            usable=False,
            cause=f"the module named onnxruntime is not ONNX Runtime: {_origin(onnxruntime)}",
            found=listed(installed) or "no onnxruntime",
            needed="ONNX Runtime itself",
            mend=f"Run: {install_command(extra)}",
        )
    return None


def build_problem(ort_name: str, extra: str, *, packages: tuple[str, ...]) -> Diagnosis | None:
    """Ask whether a provider is built into the onnxruntime that is imported here.

    Without an NVIDIA GPU that is the cause, where onnxruntime-gpu is what is missing: installing it
    would not help.
    """
    problem = _build_problem(ort_name, extra, packages)
    if problem is None or _NVIDIA_BUILD not in packages:
        return problem
    return _first(graphics_problem(), problem)


def _build_problem(ort_name: str, extra: str, packages: tuple[str, ...]) -> Diagnosis | None:
    import onnxruntime

    # Plug-ins that this process registered are listed as well, under the name they were given.
    listing = onnxruntime.get_available_providers()
    available = [name for name in listing if not name.startswith("edgekit.")]
    installed = runtimes()
    found = f"{listed(installed)} with {', '.join(available)}"
    mend = f"Run: {install_command(extra, packages=packages)}"
    if len(installed) > 1 and ort_name != _CPU:
        return Diagnosis(
            usable=False,
            cause=f"{' and '.join(installed)} are both installed and overwrite each other",
            found=found,
            needed="only one of them",
            mend=mend,
        )
    if ort_name in available:
        return None
    missing = [name for name in packages if name not in distributions(packages)]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        cause = f"{' and '.join(missing)} {verb} not installed"
        return _refusal(cause, extra, found=found, packages=packages)
    elsewhere = f"Use another provider, or an onnxruntime that was built with {ort_name}."
    return Diagnosis(
        usable=False,
        cause=f"this build of onnxruntime has no {ort_name}",
        found=found,
        needed=f"a build with {ort_name}",
        mend=mend if packages or ort_name == _CPU else elsewhere,
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
    own = Path(str(onnxruntime.__file__)).parent / "capi" / provider_library
    missed = shared.missing(own, libraries, load=no_gpu is None)
    return _first(
        no_gpu,
        _driver_problem(cuda or getattr(onnxruntime, "cuda_version", "")),
        _libraries_problem(missed, libraries, extra),
    )


def plugin_problem(
    plugin: Plugin,
    ort_name: str,
    *,
    extra: str,
    hardware: str,
    libraries: tuple[Library, ...] = (),
) -> Diagnosis | None:
    """Ask whether a plug-in is installed, loads, and finds a device that it supports.

    Args:
        plugin: where its library comes from.
        ort_name: ONNX Runtime's name of it.
        extra: the extra that installs it; empty where there is none.
        hardware: what it wants to find, in words.
        libraries: what it loads of a driver's; with CUDA's among them a GPU is asked for first.
    """
    from edgekit.providers.plugin import devices  # it diagnoses itself with this very function

    installed = distributions((*RUNTIMES, plugin.distribution))
    what = plugin.library or plugin.distribution
    packages = (plugin.distribution,)
    no_gpu = graphics_problem() if _of_nvidia(library.soname for library in libraries) else None
    if plugin.library and not Path(plugin.library).is_file():
        return Diagnosis(
            usable=False,
            cause=f"there is no file {what}",
            found=listed(installed),
            needed="the shared library of a plug-in provider",
            mend="Name the library's file by --provider-library PATH.",
        )
    if not plugin.library and plugin.distribution not in installed:
        cause = f"{what} is not installed"
        missing = _refusal(cause, extra, found=listed(installed), packages=packages)
        return _first(no_gpu, missing)
    install = install_command(extra, packages=packages)
    try:
        found = devices(plugin, ort_name, extra=extra)
    except Exception as error:  # onnxruntime's exceptions share no base class but this one
        refused, missed = _refused(str(error), libraries)
        words = shared.in_words(missed) or (refused,)
        if _of_nvidia(one.asked for one in missed):
            no_gpu = no_gpu or graphics_problem()
        return _first(
            no_gpu,
            Diagnosis(
                usable=False,
                cause=f"onnxruntime cannot load {what}: {words[0]}",
                found=listed(installed),
                needed="an onnxruntime and a plug-in that fit each other",
                mend="Use a library that was built for this onnxruntime and this system."
                if plugin.library
                else _library_mend(missed, install)
                if missed
                else f"Run: {install}",
                also=words[1:],
            ),
        )
    if not found:
        seen = ", ".join(
            f"{gpu.name} (compute capability {gpu.compute_capability})"
            for gpu in graphics.look().gpus
        )
        return Diagnosis(
            usable=False,
            cause=f"{what} finds no device here: it supports {hardware}",
            found=", ".join(filter(None, (listed(installed), seen))),
            needed=hardware,
            mend="Use another provider on this machine.",
        )
    return None


def usable(packages: tuple[str, ...], *, ort_name: str) -> Diagnosis:
    """Say that a provider can be used, and what was found of it."""
    brought = listed({**runtimes(), **distributions(packages)})
    found = f"{ort_name} in {brought or 'onnxruntime'}"
    return Diagnosis(usable=True, cause="", found=found, needed="", mend="")


def _first(*problems: Diagnosis | None) -> Diagnosis | None:
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
        mend=_library_mend(missed, f"pip install 'edgekit-onnx[{extra}]'"),
        also=tuple(others),
    )


def _library_mend(missed: tuple[shared.Missing, ...], install: str) -> str:
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


def _refused(said: str, libraries: tuple[Library, ...]) -> tuple[str, tuple[shared.Missing, ...]]:
    """Read onnxruntime's refusal of a library: in short, and with all that the library misses."""
    said = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", " ".join(said.split()))
    match = re.fullmatch(r"Failed to load library (?P<path>.*?) with error: (?P<error>.*)", said)
    if match is None:
        return said, ()
    return match["error"], shared.missing(Path(match["path"]), libraries, load=False)


def _of_nvidia(names: Iterable[str]) -> bool:
    return any(name.startswith("libcuda.so") for name in names)


def _major(version: str) -> int:
    return int(version.partition(".")[0])


def _origin(module: ModuleType) -> str:
    """Say where a module came from; a folder without code in it has only a path."""
    return getattr(module, "__file__", None) or ", ".join(getattr(module, "__path__", ["nowhere"]))


def _refusal(cause: str, extra: str, *, found: str, packages: tuple[str, ...] = ()) -> Diagnosis:
    return Diagnosis(
        usable=False,
        cause=cause,
        found=found,
        needed=f"the extra {extra} of edgekit-onnx" if extra else " and ".join(packages),
        mend=f"Run: {install_command(extra, packages=packages)}",
    )
