"""What the machine is made of, and what of it this process may use.

Read from the files that the kernel keeps below `/proc` and `/sys`, with a few words from elsewhere
on systems that have none; `root` is where those folders lie. Nothing that is about to be timed is
imported, and no process is started.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_ISA_X86 = {
    "avx2": {"avx2"},
    # The four that ONNX Runtime's kernels ask for together before they use 512 bits.
    "avx512": {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
    "avx_vnni": {"avx_vnni"},
    "avx512_vnni": {"avx512_vnni"},
    "avx512_bf16": {"avx512_bf16"},
    "avx512_fp16": {"avx512_fp16"},
    "amx_int8": {"amx_tile", "amx_int8"},
    "amx_bf16": {"amx_tile", "amx_bf16"},
}
_ISA_ARM = {
    "asimd": {"asimd"},
    "fp16": {"asimdhp"},
    "dotprod": {"asimddp"},
    "i8mm": {"i8mm"},
    "bf16": {"bf16"},
    "sve": {"sve"},
    "sve2": {"sve2"},
}
_ARCH = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64"}


def platform_names() -> tuple[str, str]:
    """Name the architecture and the operating system, ``("x86_64", "Linux 6.1.0")``."""
    if hasattr(os, "uname"):
        kernel = os.uname()
        arch, system = kernel.machine, f"{kernel.sysname} {kernel.release}"
    else:
        import platform

        arch, system = platform.machine(), f"{platform.system()} {platform.release()}"
    return _ARCH.get(arch.lower(), arch.lower()), system


def cpu_and_isa(root: Path, arch: str) -> tuple[str, tuple[str, ...]]:
    """Name the processor and those of its instruction sets that matter."""
    fields: dict[str, str] = {}
    try:
        with (root / "proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                key, _, value = line.partition(":")
                fields.setdefault(key.strip().lower(), value.strip())
                # All x86 cores are alike, and a server's file is long; on ARM the board is last.
                if not key.strip() and "flags" in fields:
                    break
    except OSError:
        return _name_elsewhere() or arch, ()
    known = _ISA_X86 if "flags" in fields else _ISA_ARM
    flags = set((fields.get("flags") or fields.get("features", "")).split())
    isa = tuple(name for name, needed in known.items() if needed <= flags)
    board = _read(root / "proc/device-tree/model") or fields.get("model", "")
    parts = f"{fields.get('cpu implementer', '')} {fields.get('cpu part', '')}".strip()
    return fields.get("model name") or board or (f"ARM {parts}" if parts else arch), isa


def _name_elsewhere() -> str:
    """Name the processor where there is no /proc; the instruction sets have no portable list."""
    if sys.platform == "darwin":
        import ctypes

        text, size = ctypes.create_string_buffer(256), ctypes.c_size_t(256)
        kernel = ctypes.CDLL(None)
        kernel.sysctlbyname(b"machdep.cpu.brand_string", text, ctypes.byref(size), None, 0)
        return text.value.decode(errors="replace")
    import platform

    return platform.processor()


def usable_cores() -> set[int]:
    """Number the logical processors that this process may run on (its affinity)."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _control_groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control groups, versions 1 and 2, innermost first.

    Each group is limited by all those around it. In a container the path can be the host's and
    lead nowhere; then only the outermost folder, the container's own, is there.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            bases = [root / "sys/fs/cgroup", root / "sys/fs/cgroup/unified"]
        elif controller in controllers.split(","):
            bases = [root / "sys/fs/cgroup" / controller]
        else:
            continue
        inner = PurePosixPath("/" if ".." in path.split("/") else path)
        for base in bases:
            for group in (inner, *inner.parents):
                yield base / str(group).lstrip("/")


def quota(root: Path) -> float | None:
    """Tell how many cores the control groups let this process keep busy."""
    quotas: list[float] = []
    for group in _control_groups(root, "cpu"):
        pair = _read(group / "cpu.max").split() or [
            _read(group / "cpu.cfs_quota_us"),
            _read(group / "cpu.cfs_period_us"),
        ]
        if len(pair) == 2 and pair[0].isdigit() and pair[1].isdigit():  # not "max", not "-1"
            quotas.append(int(pair[0]) / int(pair[1]))
    return round(min(quotas), 2) if quotas else None


def memory_mb(root: Path) -> int:
    """Tell the memory in MiB, bounded by the control groups' limits; 0 where it can't be told."""
    sizes = [physical_memory_mb(root)]
    for group in _control_groups(root, "memory"):
        limit = _read(group / "memory.max") or _read(group / "memory.limit_in_bytes")
        if limit.isdigit():
            sizes.append(int(limit) // 2**20)
    return min(sizes)


def physical_memory_mb(root: Path) -> int:
    """Tell the machine's whole memory in MiB; 0 where it can't be told."""
    match = re.search(r"MemTotal:\s+(\d+) kB", _read(root / "proc/meminfo"))
    return (int(match[1]) * 1024 if match else _memory_elsewhere()) // 2**20


def _memory_elsewhere() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return 0


def governor(root: Path) -> str | None:
    """Name the frequency governors of the usable cores, None where they can't be read."""
    folder = root / "sys/devices/system/cpu"
    governors = {
        _read(folder / f"cpu{core}/cpufreq/scaling_governor") for core in sorted(usable_cores())
    }
    return ", ".join(sorted(governors - {""})) or None


def _read(file: Path) -> str:
    """Return a file's text, empty where it isn't there or may not be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip("\0 \n\t")
    except OSError:
        return ""
