"""What holds this process back that isn't the processor: quotas, clocks, tools, disks."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from edgekit import cache, hardware
from edgekit.doctor.report import Finding
from edgekit.machine import Machine, threads_available


def examine(machine: Machine, *, root: Path = Path("/")) -> tuple[Finding, ...]:
    """Look at cores, quota, memory, clock, compiler and cache folder."""
    return (
        _cores(machine),
        _quota(machine, root),
        _memory(machine, root),
        _governor(machine),
        _compiler(),
        _cache_folder(),
    )


def _cores(machine: Machine) -> Finding:
    total = os.cpu_count() or machine.cores
    if machine.cores >= total:
        return Finding("cores", "ok", f"All {total} logical processors may be used.")
    says = f"This process may use {machine.cores} of {total} logical processors (its affinity)."
    return Finding("cores", "note", says, "Start it without taskset or a cpuset to use them all.")


def _quota(machine: Machine, root: Path) -> Finding:
    if machine.quota is None or machine.quota >= machine.cores:
        return Finding("processor quota", "ok", "No control group holds the processors back.")
    threads = threads_available(root=root)
    return Finding(
        "processor quota",
        "note",
        f"The control group allows {machine.quota:g} of {machine.cores} processors; a model runs "
        f"with {threads} {'thread' if threads == 1 else 'threads'} unless told otherwise.",
        "Give the container more (docker run --cpus), or expect pauses in long calls.",
    )


def _memory(machine: Machine, root: Path) -> Finding:
    total = hardware.physical_memory_mb(root)
    if not machine.memory_mb:
        return Finding("memory", "note", "The memory's size can't be told here.")
    if machine.memory_mb >= total:
        return Finding("memory", "ok", f"{total} MiB.")
    says = f"The control group allows {machine.memory_mb} of {total} MiB."
    return Finding("memory", "note", says, "Give the container more (docker run --memory).")


def _governor(machine: Machine) -> Finding:
    if machine.governor is None:
        return Finding("clock", "ok", "The frequency governor can't be read here, as on most VMs.")
    if machine.governor == "performance":
        return Finding("clock", "ok", "The frequency governor is 'performance'.")
    return Finding(
        "clock",
        "note",
        f"The frequency governor is '{machine.governor}': the clock follows the load, and short "
        "measurements scatter.",
        "Run: sudo cpupower frequency-set -g performance",
    )


def _compiler() -> Finding:
    """Ask for the C++ compiler that torch.compile calls at run time."""
    named = shlex.split(os.environ.get("CXX", ""))[:1]
    usual = {"win32": ["cl"], "darwin": ["clang++"]}.get(sys.platform, ["g++", "c++"])
    for program in named or usual:
        if found := shutil.which(program):
            return Finding("C++ compiler", "ok", f"{found}, for torch.compile.")
    return Finding(
        "C++ compiler",
        "note",
        f"No {(named or usual)[0]}: torch.compile can't run, so 'bench --against compiled' leaves "
        "that row out.",
        "Install one (apt install g++) or name it in the environment variable CXX.",
    )


def _cache_folder() -> Finding:
    folder = cache.folder()
    try:
        there = next(place for place in (folder, *folder.parents) if place.exists())
        with tempfile.TemporaryFile(dir=there):
            return Finding("cache folder", "ok", f"{folder} can be written.")
    except OSError as error:
        return Finding(
            "cache folder",
            "note",
            f"{folder} can't be written ({error.strerror}), so measurements aren't kept beside "
            "read-only packages.",
            "Name a folder that can be written in the environment variable EDGEKIT_CACHE.",
        )
