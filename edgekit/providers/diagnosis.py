"""Whether a provider can be used here, for all providers alike.

Each question is a function that returns a `Diagnosis` where the answer is no, and None where the
next one may be asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

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
from edgekit.providers.nvidia import (
    capability_problem,
    first_of,
    graphics_problem,
    library_mend,
    nvidia_problem,
)

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
    return first_of(graphics_problem(), problem)


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
    from edgekit.providers.plugin import devices, names  # it diagnoses itself with this function

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
        return first_of(no_gpu, missing)
    install = install_command(extra, packages=packages)
    try:
        found = devices(plugin, ort_name, extra=extra)
    except Exception as error:  # onnxruntime's exceptions share no base class but this one
        refused, missed = _refused(str(error), libraries)
        words = shared.in_words(missed) or (refused,)
        if _of_nvidia(one.asked for one in missed):
            no_gpu = no_gpu or graphics_problem()
        return first_of(
            no_gpu,
            Diagnosis(
                usable=False,
                cause=f"onnxruntime cannot load {what}: {words[0]}",
                found=listed(installed),
                needed="an onnxruntime and a plug-in that fit each other",
                mend="Use a library that was built for this onnxruntime and this system."
                if plugin.library
                else library_mend(missed, install)
                if missed
                else f"Run: {install}",
                also=words[1:],
            ),
        )
    others = names(plugin, extra=extra) if plugin.library and not found else []
    if others:
        return Diagnosis(
            usable=False,
            cause=f"{what} registers {', '.join(others)} and no {ort_name}",
            found=listed(installed),
            needed="the name that the library registers",
            mend=f"Ask for {' or '.join(map(repr, others))}.",
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


def _refused(said: str, libraries: tuple[Library, ...]) -> tuple[str, tuple[shared.Missing, ...]]:
    """Read onnxruntime's refusal of a library: in short, and with all that the library misses."""
    said = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", " ".join(said.split()))
    match = re.fullmatch(r"Failed to load library (?P<path>.*?) with error: (?P<error>.*)", said)
    if match is None:
        return said, ()
    return match["error"], shared.missing(Path(match["path"]), libraries, load=False)


def _of_nvidia(names: Iterable[str]) -> bool:
    return any(name.startswith("libcuda.so") for name in names)


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
