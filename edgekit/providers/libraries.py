"""Which of a provider's shared libraries the loader doesn't find, and what lies there instead.

What a library asks for is read from the file itself; whether it can be had is asked of the system's
own loader, in this process. Where nothing may be loaded, the folders that the loader would look
through are searched instead.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import msgspec

from edgekit import elf, hardware
from edgekit.providers.info import Library

_HOST = "Provider_GetHost"
"""The one symbol that onnxruntime itself gives a provider's library when it loads it."""

_PACKAGED = (
    "nvidia/*/lib",
    "nvidia/*/bin/*",
    "nvidia/*/bin",
    "tensorrt*libs",
    "tensorrt*",
    "torch/lib",
)
"""Folders of a Python environment in which packages keep the libraries of CUDA and TensorRT."""

_SYSTEM = frozenset({"c", "m", "dl", "rt", "pthread", "stdc++", "gcc_s", "z", "util"})
"""Libraries that every Linux has, without `lib` in front."""


class Missing(msgspec.Struct, frozen=True):
    """A shared library that the loader doesn't give.

    `asked` is its name with the version; `instead` are files of other versions. Where a file was
    found and can't be loaded, `file` is its path and `problem` half a sentence. `distribution` is
    the package that brings it, empty where none does.
    """

    asked: str
    distribution: str = ""
    instead: tuple[str, ...] = ()
    file: str = ""
    problem: str = ""


def missing(
    provider: Path, libraries: tuple[Library, ...], *, load: bool = True
) -> tuple[Missing, ...]:
    """List what keeps a provider's library from being loaded; nothing where all of it is there.

    Args:
        provider: the provider's own library. It asks for more than `libraries` may name.
        libraries: those that it is known to need, some of them only while it runs.
        load: try each with the system's loader, which leaves it loaded. Without it the places
            where the loader looks are searched; `provider` itself is then only read.
    """
    if sys.platform == "darwin":  # there is nothing of NVIDIA's
        return ()
    if sys.platform == "win32":
        return tuple(_missing_windows(libraries)) if load else ()
    if not provider.is_file():
        return (Missing(provider.name, problem="it is not there", file=str(provider)),)
    read = elf.read(provider)
    if read is None:
        return (Missing(provider.name, file=str(provider), problem="it is no shared library"),)
    if read.machine != _machine():
        return (Missing(provider.name, file=str(provider), problem=_for_another(read)),)
    beside = [Path(f.replace("$ORIGIN", str(provider.parent))) for f in read.runpath]
    known = {library.soname: library.distribution for library in libraries}
    known.update({name: known.get(name, "") for name in read.needed if not _is_system(name)})
    try_it = _try if load else _search
    found = [try_it(name, _brings(name, libraries), beside) for name in known]
    missed = tuple(one for one in found if one is not None)
    return missed or (_try_provider(provider) if load else ())


def in_words(missed: tuple[Missing, ...]) -> tuple[str, ...]:
    """Say half a sentence of each library that is there and wrong, then one of all that aren't."""
    said = []
    for one in missed:
        if one.problem:
            said.append(f"{one.asked} cannot be loaded: {one.problem} ({one.file or one.asked})")
        elif one.instead:
            there = ", ".join(one.instead)
            said.append(f"{one.asked} is asked for and cannot be found, only {there}")
    absent = [one.asked for one in missed if not one.problem and not one.instead]
    if absent:
        listed = " and ".join(filter(None, (", ".join(absent[:-1]), absent[-1])))
        said.append(f"{listed} cannot be found")
    return tuple(said)


@cache
def preload() -> None:
    """Let onnxruntime load the libraries of CUDA and cuDNN from the Python packages that bring
    them, once a process; among them NVRTC, which no library names and cuDNN opens while it runs.

    It prints what it fails to load; what of that matters is told by `missing`.
    """
    import contextlib
    import io

    import onnxruntime

    if hasattr(onnxruntime, "preload_dlls"):  # not in every build
        with contextlib.redirect_stdout(io.StringIO()):
            onnxruntime.preload_dlls()


def versions_of(file: str) -> tuple[str, ...]:
    """List the paths of a library's versions that lie here: ``libcudart.so`` of any number."""
    return tuple(str(path) for path in _files(file))


def _try(name: str, distribution: str, beside: list[Path]) -> Missing | None:
    """Let the loader open a library by its name, else by where a package keeps it."""
    refused = _refused(name)
    if refused is None:
        return None
    at = next((place / name for place in (*beside, *_places()) if (place / name).is_file()), None)
    if at is None:
        return Missing(name, distribution, instead=versions_of(_stem(name)))
    refused = _refused(str(at))
    if refused is None:
        return None
    read = elf.read(at)
    if read is None:
        problem = "it is no shared library, or only a part of one"
    elif read.machine != _machine():
        problem = _for_another(read)
    else:
        absent = re.match(r"(\S+): cannot open shared object file: No such file", refused)
        problem = f"it needs {absent[1]}, which cannot be found" if absent else refused
    return Missing(name, distribution, file=str(at), problem=problem)


def _search(name: str, distribution: str, beside: list[Path]) -> Missing | None:
    """Look for a library where the loader would."""
    if name in _cached() or any((place / name).is_file() for place in (*beside, *_places())):
        return None
    return Missing(name, distribution, instead=versions_of(_stem(name)))


def _try_provider(provider: Path) -> tuple[Missing, ...]:
    """Let the loader open the provider itself, for whatever is wrong beside missing libraries.

    Once onnxruntime is imported it does the same with it later. Before, a symbol that onnxruntime
    lends is missing: the loader binds all symbols first, and lets go without running anything.
    """
    refused = _refused(str(provider))
    if refused is None or f"undefined symbol: {_HOST}" in refused:
        return ()
    return (Missing(provider.name, file=str(provider), problem=refused),)


def _missing_windows(libraries: Iterable[Library]) -> Iterator[Missing]:
    """Try the names that CUDA's and TensorRT's libraries have there. No machine has run this."""
    for library in libraries:
        stem = library.file.removeprefix("lib").removesuffix(".so")
        names = [f"{stem}64_{library.version}.dll", f"{stem}_{library.version}.dll"]
        refusals = [said for name in names if (said := _refused(name)) is not None]
        if len(refusals) == len(names):
            yield Missing(names[0], library.distribution, problem=refusals[0])


def _refused(library: str) -> str | None:
    """Return what the loader says against a library, by name or path; None where it opens it."""
    try:
        ctypes.CDLL(library)
    except OSError as error:
        return " ".join(str(error).split())
    return None


def _is_system(name: str) -> bool:
    return name.startswith("ld-") or name.removeprefix("lib").split(".so")[0] in _SYSTEM


def _stem(name: str) -> str:
    """Take the version off a library's name: ``libcudart.so.13`` is ``libcudart.so``."""
    return name.partition(".so")[0] + ".so"


def _brings(name: str, libraries: tuple[Library, ...]) -> str:
    return next((lib.distribution for lib in libraries if lib.soname == name), "")


def _machine() -> str:
    return hardware.platform_names()[0]


def _for_another(read: elf.Elf) -> str:
    return f"it is for {read.machine} and this is {_machine()}"


def _files(file: str) -> Iterator[Path]:
    """Find a library's files of any version: what their links lead to, each once."""
    seen: set[Path] = set()
    folders = [*_places(), *map(Path, sorted({str(Path(p).parent) for p in _cached().values()}))]
    for folder in folders:
        for path in sorted(folder.glob(f"{file}*")):
            real = path.resolve()
            if real not in seen:
                seen.add(real)
                yield real


def _places() -> list[Path]:
    """List the folders of packages and of the environment that may hold shared libraries."""
    site = [Path(folder) for folder in sys.path if folder]
    packaged = [path for folder in site for glob in _PACKAGED for path in sorted(folder.glob(glob))]
    environment = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    return [*packaged, *(Path(folder) for folder in environment if folder)]


@cache
def _cached() -> dict[str, str]:
    """Read the loader's own list of libraries, path by name; empty where there is no such list."""
    import shutil
    import subprocess

    program = shutil.which("ldconfig") or shutil.which("ldconfig", path="/sbin:/usr/sbin")
    if program is None:  # Alpine has none
        return {}
    try:
        done = subprocess.run(
            [program, "-p"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    lines = (line.strip().partition(" ") for line in done.stdout.splitlines() if "=>" in line)
    return {name: rest.rpartition("=> ")[2] for name, _, rest in lines}
