"""What machine this is, as far as it decides a model's numbers and its speed.

`describe` takes a millisecond or two and imports nothing that is about to be timed.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

import msgspec

from edgekit import hardware
from edgekit.installed import RUNTIMES, distributions

RECORDED = (
    *RUNTIMES,
    "onnxruntime-ep-openvino",
    "onnxruntime-ep-nv-tensorrt-rtx",
    "onnxruntime-ep-nv-tensorrt-rtx-cu13",
    "nvidia-cublas",
    "nvidia-cuda-runtime",
    "nvidia-cudnn-cu13",
    "nvidia-cufft",
    "tensorrt-cu13-libs",
    "numpy",
    "torch",
    "onnx",
    "onnx-ir",
    "onnxscript",
)
"""Distributions whose versions are kept beside every measurement, since they decide numbers."""

_ISA_WORDS = {
    "amx_int8": "AMX",
    "amx_bf16": "AMX",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512": "AVX-512",
    "avx_vnni": "AVX-VNNI",
    "avx2": "AVX2",
    "sve2": "SVE2",
    "sve": "SVE",
    "i8mm": "NEON i8mm",
    "dotprod": "NEON dot product",
    "asimd": "NEON",
}  # the best first


class Machine(msgspec.Struct, frozen=True):
    """A machine as this process sees it.

    `isa` names the instruction sets that matter, empty where they can't be told. `cores` counts
    the logical processors that this process may use and `affinity` numbers them; `quota` is how
    many its control group may keep busy (1.5 is one and a half), None without a limit. `memory_mb`
    is in MiB, a control group's limit respected, 0 where it can't be told. `governor` is the
    frequency governor.
    """

    arch: str
    isa: tuple[str, ...]
    cpu: str
    cores: int
    quota: float | None
    memory_mb: int
    os: str
    python: str
    gpu: str | None
    driver: str | None
    governor: str | None
    versions: dict[str, str]
    affinity: tuple[int, ...] = ()


def describe(*, root: Path = Path("/")) -> Machine:
    """Read what machine this is. `root` is where `/proc`, `/sys` and `/dev` lie."""
    from edgekit import graphics  # a model that is loaded asks for no GPU's name

    arch, system = hardware.platform_names()
    cpu, isa = hardware.cpu_and_isa(root, arch)
    gpus = graphics.glance(root=root)
    return Machine(
        arch=arch,
        isa=isa,
        cpu=cpu,
        cores=len(hardware.usable_cores()),
        quota=hardware.quota(root),
        memory_mb=hardware.memory_mb(root),
        os=system,
        python=".".join(map(str, sys.version_info[:3])),
        gpu=gpus.summary,
        driver=gpus.driver if gpus.gpus else None,
        governor=hardware.governor(root),
        versions=distributions(RECORDED),
        affinity=tuple(sorted(hardware.usable_cores())),
    )


def threads_available(*, root: Path = Path("/")) -> int:
    """Count the threads that this process can keep busy: its cores, bounded by its quota.

    A part of a core is rounded down: one thread more than the quota carries is put to sleep by
    the kernel in the middle of a call, and all others wait for it.
    """
    cores, quota = len(hardware.usable_cores()), hardware.quota(root)
    return max(1, cores if quota is None else min(cores, int(quota)))


def accuracy_key(machine: Machine) -> str:
    """Name what decides the numbers of a low-precision model: processor family and ONNX Runtime.

    Where the instruction sets aren't known the processor's name stands in for them. The key is
    at most 100 of the characters ``a-z0-9._-``, fit for a file name.
    """
    return _slug("-".join(_accuracy_facts(machine)), limit=100)


def speed_key(machine: Machine) -> str:
    """Name what decides speed: `accuracy_key`'s facts, processor, cores, quota, GPU and driver.

    The readable part says the most telling of them, eight hex digits of a SHA-256 stand for all.
    At most 100 of the characters ``a-z0-9._-``: `measured/bench/<speed_key>.json` is a file.
    """
    facts = [
        *_accuracy_facts(machine),
        machine.cpu,
        machine.cores,
        machine.quota,
        machine.gpu,
        machine.driver,
    ]
    digest = hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:8]
    words = [_short_cpu(machine.cpu), _best_isa(machine.isa) or machine.arch, f"{machine.cores}c"]
    return f"{_slug('-'.join([*words, machine.gpu or '']), limit=91)}-{digest}"


def summary(machine: Machine) -> str:
    """Say in a few words what processor this is: ``AMD EPYC, AVX-512 VNNI``."""
    return f"{_short_cpu(machine.cpu)}, {_best_isa(machine.isa) or machine.arch}"


def _accuracy_facts(machine: Machine) -> list[str]:
    runtime = next(
        (machine.versions[name] for name in RUNTIMES if name in machine.versions), "none"
    )
    return [machine.arch, *(machine.isa or (machine.cpu,)), f"ort{runtime}"]


def _slug(text: str, *, limit: int) -> str:
    slug = re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-.")
    if len(slug) <= limit:
        return slug
    return f"{slug[: limit - 9].rstrip('-.')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _short_cpu(cpu: str) -> str:
    noise = r"\((R|TM|C)\)|@.*|\bw/.*|\b(CPU|Processor|\d+-Core|with Radeon Graphics)\b"
    return " ".join(re.sub(noise, " ", cpu, flags=re.IGNORECASE).split()) or cpu


def _best_isa(isa: tuple[str, ...]) -> str:
    return next((words for name, words in _ISA_WORDS.items() if name in isa), "")
