"""Which distributions are installed, told without importing any of them, and how to get others."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from edgekit.errors import MissingExtra

EXTRAS = {
    "onnxruntime": "cpu",
    "onnx": "build",
    "onnx_ir": "build",
    "onnxscript": "export",
    "torch": "export",
    "mlxtend": "models",
    "pyarrow": "data",
    "jinja2": "report",
    "markupsafe": "report",
    "matplotlib": "report",
    "timm": "timm",
    "torchvision": "timm",
    "transformers": "hf",
    "ml_dtypes": "build",
}
"""Import packages that an extra of edgekit-onnx brings, and which."""

RUNTIMES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-cann",
    "onnxruntime-directml",
    "onnxruntime-migraphx",
    "onnxruntime-openvino",
    "onnxruntime-rocm",
    "onnxruntime-silicon",
    "onnxruntime-training",
    "onnxruntime-training-cpu",
    "onnxruntime-trt-rtx",
    "onnxruntime-webgpu",
    "onnxruntime-windowsml",
)
"""Distributions that bring the import package `onnxruntime`; only one may be installed."""


_RUNTIME_OF = {
    "cpu": "onnxruntime",
    "gpu": "onnxruntime-gpu",
    "openvino": "onnxruntime",
    "tensorrt": "onnxruntime-gpu",
    "tensorrt-rtx": "onnxruntime",
}
"""The onnxruntime that each extra brings."""


class Owner(NamedTuple):
    """A distribution that says it put files into an import package, and its metadata's folder."""

    name: str
    version: str
    metadata: Path


def owners(package: str, *, beginning: tuple[str, ...] = ("",)) -> list[Owner]:
    """Find the distributions whose list of files (RECORD) has files below an import package.

    Only those whose name begins with one of `beginning` are asked, and only those of the first
    folder on `sys.path` that has any are returned, by name: a later folder's are never imported.
    """
    wanted = re.compile(rf"^{re.escape(package)}/".encode(), flags=re.MULTILINE)
    found: list[Owner] = []
    where = ""
    for folder, name, version in _metadata():
        if found and folder != where:
            break
        if _folder_name(name).startswith(beginning):
            metadata = Path(folder, f"{name}-{version}.dist-info")
            try:
                listed = wanted.search((metadata / "RECORD").read_bytes())
            except OSError:  # an .egg-info, or something that wasn't installed by a tool
                continue
            if listed:
                where = folder
                found.append(Owner(_folder_name(name).replace("_", "-"), version, metadata))
    return found


def runtimes() -> dict[str, str]:
    """Find the distributions that put an `onnxruntime` where it is imported from, with versions.

    More than one overwrote each other's files. Those of `RUNTIMES` count by their name, others by
    their list of files: `onnxruntime-qnn` brought a whole onnxruntime before it became a plug-in.
    Remembered until something is installed: asking again takes some 20 µs.
    """
    return dict(_runtimes(tuple((folder, _changed(folder)) for folder in sys.path)))


@lru_cache(maxsize=8)
def _runtimes(path: tuple[tuple[str, tuple[int, ...]], ...]) -> dict[str, str]:
    del path
    places: dict[Path, dict[str, str]] = {}
    for folder, name, version in _metadata():
        if (plain := _folder_name(name).replace("_", "-")) in RUNTIMES:
            places.setdefault(Path(folder), {})[plain] = version
    for owner in owners("onnxruntime", beginning=("onnxruntime", "ort")):
        places.setdefault(owner.metadata.parent, {})[owner.name] = owner.version
    # A later folder's is never imported.
    first = next((places[place] for place in map(Path, sys.path) if place in places), {})
    return {name: first[name] for name in sorted(first)}


def _changed(folder: str) -> tuple[int, ...]:
    """Stamp a folder: a file system's clock can stand still for some milliseconds."""
    try:
        status = Path(folder or ".").stat()
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_nlink, status.st_size


def distributions(names: Iterable[str]) -> dict[str, str]:
    """Find the versions of those of the named distributions that are installed.

    Read off the names of the metadata folders on `sys.path`, the first found of each as the
    import system has it: `importlib.metadata` says the same and takes 35 ms to be imported.
    """
    wanted = {_folder_name(name): name for name in names}
    found: dict[str, str] = {}
    for _, folder_name, version in _metadata():
        if name := wanted.get(_folder_name(folder_name)):
            found.setdefault(name, version)
    return {name: found[name] for name in wanted.values() if name in found}


def listed(installed: dict[str, str]) -> str:
    """Write distributions with their versions: ``onnx 1.23.2, numpy 2.4.6``."""
    return ", ".join(f"{name} {version}" for name, version in installed.items())


def install_command(extra: str, *, packages: tuple[str, ...] = ()) -> str:
    """Say what to type to get an extra, or packages where there is none that brings them.

    Another onnxruntime is taken out of the way first: all its builds are one import package, the
    second to be installed overwrites files of the first, and pip doesn't mind.
    """
    wanted = _RUNTIME_OF.get(extra) or next((name for name in packages if name in RUNTIMES), None)
    found = runtimes()
    install = (
        f"pip install 'edgekit-onnx[{extra}]'" if extra else f"pip install {' '.join(packages)}"
    )
    if wanted and set(found) - {wanted}:
        return f"pip uninstall -y {' '.join(found)} && {install}"
    return install


def conflict() -> str:
    """Say in a sentence that several builds of onnxruntime are installed, and how to mend it.

    Empty where there is one, or none. Cheap enough for every load: some 20 µs after the first.
    """
    found = runtimes()
    if len(found) < 2:
        return ""
    special = next((name for name in found if name != "onnxruntime"), "onnxruntime")
    extra = next((name for name, runtime in _RUNTIME_OF.items() if runtime == special), "")
    return (
        f"{' and '.join(f'{name} {version}' for name, version in found.items())} are "
        f"{'both' if len(found) == 2 else 'all'} installed and overwrote each other's files; "
        "keep one of them: "
        f"{install_command(extra, packages=(special,))}"
    )


def _metadata() -> Iterator[tuple[str, str, str]]:
    """Yield the folder, name and version of every distribution on `sys.path`, the first first."""
    for folder in sys.path:
        try:
            entries = sorted(entry.name for entry in os.scandir(folder or "."))
        except OSError:  # a zip, or a folder that isn't there
            continue
        for entry in entries:
            if match := _METADATA.fullmatch(entry):
                yield folder, match["name"], match["version"]


_METADATA = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)(-py[\d.]+)?\.(dist|egg)-info")


def missing_extra(error: Exception) -> MissingExtra | None:
    """Name the extra behind a failed import; None where no extra of edgekit's brings the module."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    module = error.name.partition(".")[0]
    if module not in EXTRAS:
        return None
    return MissingExtra(module=module, extra=EXTRAS[module], what="This")


def _folder_name(distribution: str) -> str:
    return re.sub(r"[-_.]+", "_", distribution).lower()
