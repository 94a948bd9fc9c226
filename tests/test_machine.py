from __future__ import annotations

import os
import re
import string
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit import hardware, machine
from edgekit.installed import distributions
from edgekit.machine import Machine

XEON = """\
processor\t: 0
vendor_id\t: GenuineIntel
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz
flags\t\t: fpu sse2 avx fma avx2 avx512f avx512dq avx512bw avx512vl avx_vnni avx512_bf16 \
avx512_vnni amx_bf16 avx512_fp16 amx_tile amx_int8

processor\t: 1
model name\t: another
flags\t\t: fpu
"""
EPYC_AVX2 = """\
processor\t: 0
model name\t: AMD EPYC 7B13 64-Core Processor
flags\t\t: fpu sse2 avx fma avx2
"""
AVX512F_ALONE = "model name\t: Xeon Phi\nflags\t\t: avx2 avx512f avx512cd\n"
OLD = "model name\t: Intel(R) Core(TM) i5-2400 CPU @ 3.10GHz\nflags\t\t: sse2 avx\n"
RASPBERRY = """\
processor\t: 0
Features\t: fp asimd evtstrm crc32 atomics fphp asimdhp cpuid asimdrdm asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd0b

processor\t: 1
Features\t: fp asimd evtstrm crc32 atomics fphp asimdhp cpuid asimdrdm asimddp

Model\t\t: Raspberry Pi 5 Model B Rev 1.0
"""
GRAVITON = """\
processor\t: 0
Features\t: fp asimd asimdhp asimddp sve i8mm bf16
CPU implementer\t: 0x41
CPU part\t: 0xd40
"""

MakeRoot = Callable[[dict[str, str]], Path]


@pytest.fixture
def root_of(tmp_path: Path) -> MakeRoot:
    """Make a tree of the kernel's files below the test's own folder."""

    def make(files: dict[str, str]) -> Path:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return make


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "usable_cores", lambda: set(range(8)))


def some_machine(**changes: object) -> Machine:
    plain = Machine(
        arch="x86_64",
        isa=("avx2",),
        cpu="AMD EPYC 7B13",
        cores=2,
        quota=None,
        memory_mb=8192,
        os="Linux 6.1.0",
        python="3.11.7",
        gpu=None,
        driver=None,
        governor=None,
        versions={"onnxruntime": "1.32.0", "numpy": "2.4.6"},
    )
    return msgspec.structs.replace(plain, **changes)


@pytest.mark.parametrize(
    ("cpuinfo", "isa", "summary"),
    [
        (
            XEON,
            (
                "avx2",
                "avx512",
                "avx_vnni",
                "avx512_vnni",
                "avx512_bf16",
                "avx512_fp16",
                "amx_int8",
                "amx_bf16",
            ),
            "Intel Xeon Platinum 8481C, AMX",
        ),
        (EPYC_AVX2, ("avx2",), "AMD EPYC 7B13, AVX2"),
        (AVX512F_ALONE, ("avx2",), "Xeon Phi, AVX2"),
        (OLD, (), "Intel Core i5-2400, "),
        (
            RASPBERRY,
            ("asimd", "fp16", "dotprod"),
            "Raspberry Pi 5 Model B Rev 1.0, NEON dot product",
        ),
        (
            GRAVITON,
            ("asimd", "fp16", "dotprod", "i8mm", "bf16", "sve"),
            "ARM 0x41 0xd40, SVE",
        ),
    ],
    ids=["amx", "avx2", "avx512f-alone", "older-than-avx2", "raspberry", "graviton"],
)
def test_describe_reads_the_processor(
    cpuinfo: str, isa: tuple[str, ...], summary: str, root_of: MakeRoot
) -> None:
    found = machine.describe(root=root_of({"proc/cpuinfo": cpuinfo}))
    assert found.isa == isa
    assert machine.summary(found).startswith(summary)


def test_describe_takes_the_boards_name_from_the_device_tree(root_of: MakeRoot) -> None:
    files = {"proc/cpuinfo": GRAVITON, "proc/device-tree/model": "Some Board\0"}
    assert machine.describe(root=root_of(files)).cpu == "Some Board"


def test_describe_works_without_any_of_the_kernels_files(tmp_path: Path) -> None:
    found = machine.describe(root=tmp_path)
    assert found.isa == ()
    assert found.cpu
    assert found.quota is None
    assert found.governor is None
    assert found.gpu is None


def test_describe_tells_this_machine() -> None:
    found = machine.describe()
    assert found.cores == len(found.affinity)
    assert set(found.affinity) == hardware.usable_cores()
    assert found.versions["numpy"] == metadata.version("numpy")
    assert found.python.split(".")[:2] == [str(number) for number in sys.version_info[:2]]
    assert 1 <= machine.threads_available() <= found.cores
    assert msgspec.json.decode(msgspec.json.encode(found), type=Machine) == found


def test_describe_imports_neither_numpy_nor_onnxruntime(
    fresh_python: Callable[[str], str],
) -> None:
    code = "import sys; from edgekit import machine; machine.describe(); print(*sys.modules)"
    loaded = set(fresh_python(code).split())
    assert "edgekit.machine" in loaded
    assert not loaded & {"numpy", "onnxruntime", "psutil", "torch", "importlib.metadata"}


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("files", "quota", "threads"),
    [
        ({"proc/self/cgroup": "0::/\n"}, None, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "250000 100000\n"}, 2.5, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 0.5, 1),
        (
            {  # an outer group is narrower than the inner one
                "proc/self/cgroup": "0::/outer/inner\n",
                "sys/fs/cgroup/outer/cpu.max": "300000 100000\n",
                "sys/fs/cgroup/outer/inner/cpu.max": "400000 100000\n",
            },
            3.0,
            3,
        ),
        (
            {  # a container: the path is the host's, the files are at the top
                "proc/self/cgroup": "0::/../../docker/1234\n",
                "sys/fs/cgroup/cpu.max": "600000 100000\n",
            },
            6.0,
            6,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/job\n3:memory:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "150000\n",
                "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000\n",
            },
            1.5,
            1,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "1600000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            16.0,
            8,
        ),
    ],
)
def test_threads_keep_to_the_quota(
    files: dict[str, str], quota: float | None, threads: int, root_of: MakeRoot
) -> None:
    root = root_of(files)
    assert machine.describe(root=root).quota == quota
    assert machine.threads_available(root=root) == threads


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity is Linux's")
def test_threads_keep_to_the_affinity() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert machine.describe().cores == 1
        assert machine.threads_available() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("files", "memory_mb"),
    [
        ({}, 8000),
        ({"sys/fs/cgroup/memory.max": "max"}, 8000),
        ({"sys/fs/cgroup/memory.max": str(512 * 2**20)}, 512),
        ({"sys/fs/cgroup/memory/memory.limit_in_bytes": str(2**63 - 4096)}, 8000),
        ({"sys/fs/cgroup/memory/memory.limit_in_bytes": str(256 * 2**20)}, 256),
    ],
)
def test_memory_keeps_to_the_control_groups_limit(
    files: dict[str, str], memory_mb: int, root_of: MakeRoot
) -> None:
    groups = {"proc/self/cgroup": "4:memory:/\n0::/\n", "proc/meminfo": "MemTotal:  8192000 kB\n"}
    assert machine.describe(root=root_of({**groups, **files})).memory_mb == memory_mb


def test_governor_names_all_that_differ(root_of: MakeRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "usable_cores", lambda: {0, 1})
    folder = "sys/devices/system/cpu"
    files = {
        f"{folder}/cpu0/cpufreq/scaling_governor": "powersave\n",
        f"{folder}/cpu1/cpufreq/scaling_governor": "performance\n",
        f"{folder}/cpu2/cpufreq/scaling_governor": "schedutil\n",
    }
    assert machine.describe(root=root_of(files)).governor == "performance, powersave"


@pytest.mark.parametrize(
    "version",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 2024",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build",
    ],
)
def test_gpu_is_read_from_the_kernel(
    version: str, root_of: MakeRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    files = {
        f"proc/driver/nvidia/gpus/0000:0{n}:00.0/information": "Model: \t\t NVIDIA H100\nIRQ:  1\n"
        for n in (1, 2)
    }
    files |= {"proc/driver/nvidia/version": version, "dev/nvidiactl": ""}
    found = machine.describe(root=root_of(files))
    assert (found.gpu, found.driver) == ("2 x NVIDIA H100", "550.54.15")


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for nvidia-smi is a shell script")
@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("echo 'NVIDIA L4, 535.1.2, 23034, GPU-1, 8.9'", ("NVIDIA L4", "535.1.2")),
        ("echo 'failed to talk to the driver'; exit 9", (None, None)),
        ("true", (None, None)),
    ],
)
def test_gpu_is_asked_of_nvidia_smi_where_only_the_device_is_there(
    answer: str,
    found: tuple[str | None, str | None],
    root_of: MakeRoot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = root_of({"dev/nvidiactl": "", "bin/nvidia-smi": f"#!/bin/sh\n{answer}\n"})
    (root / "bin/nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    described = machine.describe(root=root)
    assert (described.gpu, described.driver) == found


def test_hidden_gpus_are_not_this_processes(
    root_of: MakeRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "dev/nvidiactl": "",
        "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: NVIDIA H100\n",
        "proc/driver/nvidia/version": "NVRM version: Module  550.54.15",
    }
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    found = machine.describe(root=root_of(files))
    assert (found.gpu, found.driver) == (None, None)


def test_no_process_is_started_without_a_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a process was started")

    monkeypatch.setattr("subprocess.Popen", refuse)
    monkeypatch.setattr("os.posix_spawn", refuse, raising=False)
    assert machine.describe(root=tmp_path).gpu is None


def test_accuracy_key_changes_with_instruction_sets_and_runtime_alone() -> None:
    plain = some_machine()
    key = machine.accuracy_key(plain)
    assert key == "x86_64-avx2-ort1.32.0"
    for same in (some_machine(cpu="AMD EPYC 9B14"), some_machine(cores=64, quota=1.5, gpu="L4")):
        assert machine.accuracy_key(same) == key
    for other in (
        some_machine(isa=("avx2", "avx512", "avx512_vnni")),
        some_machine(arch="aarch64"),
        some_machine(versions={"onnxruntime": "1.31.1"}),
        some_machine(versions={}),
    ):
        assert machine.accuracy_key(other) != key


def test_accuracy_key_takes_the_processors_name_where_instruction_sets_are_unknown() -> None:
    keys = [machine.accuracy_key(some_machine(isa=(), cpu=cpu)) for cpu in ("Apple M1", "Apple M2")]
    assert keys == ["x86_64-apple-m1-ort1.32.0", "x86_64-apple-m2-ort1.32.0"]


@pytest.mark.parametrize(
    "change",
    [
        {"cpu": "AMD EPYC 9B14"},
        {"cores": 4},
        {"quota": 1.5},
        {"gpu": "NVIDIA L4"},
        {"driver": "550.1"},
        {"isa": ("avx2", "avx_vnni")},
        {"versions": {"onnxruntime-gpu": "1.31.1"}},
    ],
)
def test_speed_key_changes_with_what_decides_speed(change: dict[str, object]) -> None:
    assert machine.speed_key(some_machine(**change)) != machine.speed_key(some_machine())


@pytest.mark.parametrize("change", [{"os": "Linux 6.2"}, {"python": "3.13"}, {"memory_mb": 1}])
def test_speed_key_stays_where_speed_does(change: dict[str, object]) -> None:
    assert machine.speed_key(some_machine(**change)) == machine.speed_key(some_machine())


def test_speed_key_can_be_read() -> None:
    key = machine.speed_key(some_machine(gpu="NVIDIA L4"))
    assert re.fullmatch(r"amd-epyc-7b13-avx2-2c-nvidia-l4-[0-9a-f]{8}", key)


@given(cpu=st.text(max_size=200), gpu=st.none() | st.text(max_size=200), isa=st.lists(st.text()))
def test_keys_are_fit_for_a_file_name(cpu: str, gpu: str | None, isa: list[str]) -> None:
    found = some_machine(cpu=cpu, gpu=gpu, isa=tuple(isa))
    for key in (machine.accuracy_key(found), machine.speed_key(found)):
        assert 0 < len(key) <= 100
        assert set(key) <= set(string.ascii_lowercase + string.digits + "._-")
        assert key[0] not in ".-"
        assert key[-1] not in ".-"


def test_long_keys_that_differ_at_the_end_stay_apart() -> None:
    machines = [some_machine(isa=(), cpu="x" * 200 + end) for end in "ab"]
    assert len({machine.accuracy_key(found) for found in machines}) == 2


def test_distributions_agree_with_importlib_metadata() -> None:
    names = ("numpy", "msgspec", "safetensors", "pytest")
    expected = {name: metadata.version(name) for name in names}
    assert distributions((*names, "no-such-thing")) == expected


def test_distributions_take_the_first_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("first/Some.Thing-2.0.dist-info", "second/some_thing-1.0.dist-info"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "second/other-0.5+cpu-py3.11.egg-info").mkdir()
    paths = [tmp_path / "missing.zip", tmp_path / "first", tmp_path / "second"]
    monkeypatch.setattr(sys, "path", [str(path) for path in paths])
    found = distributions(["some-thing", "other", "numpy"])
    assert found == {"some-thing": "2.0", "other": "0.5+cpu"}
