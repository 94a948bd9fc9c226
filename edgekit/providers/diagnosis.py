"""Whether a provider can be used here, for all providers alike.

Each question is a function that returns a `Diagnosis` where the answer is no, and None where the
next one may be asked.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from edgekit import hardware
from edgekit.installed import RUNTIMES, distributions
from edgekit.providers.info import Diagnosis

_RUNTIME_OF = {
    "cpu": "onnxruntime",
    "gpu": "onnxruntime-gpu",
    "openvino": "onnxruntime",
    "tensorrt": "onnxruntime-gpu",
}
"""The onnxruntime that each extra brings."""


def install_command(extra: str) -> str:
    """Say what to type to get an extra, another onnxruntime taken out of its way first.

    onnxruntime and onnxruntime-gpu are one import package: the second to be installed overwrites
    files of the first, and pip doesn't mind.
    """
    wanted = _RUNTIME_OF.get(extra)
    installed = distributions(RUNTIMES)
    install = f"pip install 'edgekit-onnx[{extra}]'"
    if wanted and set(installed) - {wanted}:
        return f"pip uninstall -y {' '.join(installed)} && {install}"
    return install


def runtime_problem(extra: str) -> Diagnosis | None:
    """Ask whether onnxruntime is installed and can be imported."""
    installed = distributions(RUNTIMES)
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
    """Ask whether a provider is built into the onnxruntime that is imported here."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    if ort_name in available:
        return None
    installed = distributions(RUNTIMES)
    missing = [name for name in packages if name not in distributions(packages)]
    found = f"{listed(installed)} with {', '.join(available)}"
    if len(installed) > 1:
        return Diagnosis(
            usable=False,
            cause=f"{' and '.join(installed)} are both installed and overwrite each other",
            found=found,
            needed="only one of them",
            mend=f"Run: {install_command(extra)}",
        )
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        return _refusal(f"{' and '.join(missing)} {verb} not installed", extra, found=found)
    return Diagnosis(
        usable=False,
        cause=f"this build of onnxruntime has no {ort_name}",
        found=found,
        needed=f"a build with {ort_name}",
        mend=f"Run: {install_command(extra)}",
    )


def graphics_problem() -> Diagnosis | None:
    """Ask whether there is an NVIDIA GPU; onnxruntime-gpu lists its providers without one."""
    model, _ = hardware.graphics(Path("/"))
    if model is not None:
        return None
    return Diagnosis(
        usable=False,
        cause="no NVIDIA GPU can be seen from here",
        found="no NVIDIA driver that names a GPU",
        needed="an NVIDIA GPU and its driver",
        mend="Install NVIDIA's driver, until nvidia-smi lists the GPU; a container must be "
        "started with its GPUs (docker run --gpus all).",
    )


def usable(packages: tuple[str, ...], *, ort_name: str) -> Diagnosis:
    """Say that a provider can be used, and what was found of it."""
    brought = listed(distributions((*RUNTIMES, *packages)))
    found = f"{ort_name} in {brought or 'onnxruntime'}"
    return Diagnosis(usable=True, cause="", found=found, needed="", mend="")


def listed(installed: dict[str, str]) -> str:
    """Write distributions with their versions: ``onnx 1.23.2, numpy 2.4.6``."""
    return ", ".join(f"{name} {version}" for name, version in installed.items())


def _origin(module: ModuleType) -> str:
    """Say where a module came from; a folder without code in it has only a path."""
    return getattr(module, "__file__", None) or ", ".join(getattr(module, "__path__", ["nowhere"]))


def _refusal(cause: str, extra: str, *, found: str) -> Diagnosis:
    return Diagnosis(
        usable=False,
        cause=cause,
        found=found,
        needed=f"the extra {extra} of edgekit-onnx",
        mend=f"Run: {install_command(extra)}",
    )
