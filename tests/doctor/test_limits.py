from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from edgekit import hardware, machine
from edgekit.doctor import limits
from edgekit.doctor.report import Finding
from edgekit.machine import Machine


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Describe a machine of eight cores and 8,000 MiB, nothing of it held back."""
    monkeypatch.setattr(hardware, "usable_cores", lambda: set(range(8)))
    monkeypatch.setattr(hardware, "physical_memory_mb", lambda root: 8000)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    return msgspec.structs.replace(
        machine.describe(), cores=8, quota=None, memory_mb=8000, governor="performance"
    )


def limit(subject: str, described: Machine, *, root: Path = Path("/nowhere")) -> Finding:
    return {found.subject: found for found in limits.examine(described, root=root)}[subject]


@pytest.mark.parametrize("subject", ["cores", "processor quota", "memory", "clock"])
def test_a_machine_without_limits_is_right(subject: str, plain: Machine) -> None:
    assert limit(subject, plain).severity == "ok"


@pytest.mark.parametrize(
    ("subject", "change", "says"),
    [
        ("cores", {"cores": 2}, "2 of 8 logical processors"),
        ("memory", {"memory_mb": 512}, "512 of 8000 MiB"),
        ("memory", {"memory_mb": 0}, "can't be told"),
        ("clock", {"governor": "powersave"}, "'powersave'"),
        ("clock", {"governor": "performance, powersave"}, "'performance, powersave'"),
    ],
)
def test_what_is_held_back_is_a_note(
    subject: str, change: dict[str, object], says: str, plain: Machine
) -> None:
    found = limit(subject, msgspec.structs.replace(plain, **change))
    assert found.severity == "note"
    assert says in found.says


def test_a_governor_that_cannot_be_read_is_no_complaint(plain: Machine) -> None:
    found = limit("clock", msgspec.structs.replace(plain, governor=None))
    assert found.severity == "ok"
    assert "can't be read" in found.says


def test_a_quota_below_the_cores_says_how_many_threads_are_left(
    plain: Machine, tmp_path: Path
) -> None:
    for name, text in {
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/cpu.max": "150000 100000\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    described = msgspec.structs.replace(plain, quota=1.5)
    found = limit("processor quota", described, root=tmp_path)
    assert found.severity == "note"
    assert "1.5 of 8 processors" in found.says
    assert "1 thread " in found.says


def test_a_quota_above_the_cores_holds_nothing_back(plain: Machine) -> None:
    described = msgspec.structs.replace(plain, quota=16.0)
    assert limit("processor quota", described).severity == "ok"


def test_no_compiler_is_a_note(
    plain: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    found = limit("C++ compiler", plain)
    assert found.severity == "note"
    assert "torch.compile" in found.says


@pytest.mark.skipif(os.name == "nt", reason="programs are marked by a mode bit here")
def test_a_compiler_named_by_cxx_is_found(
    plain: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "my-c++"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", f"{compiler} -march=native")
    found = limit("C++ compiler", plain)
    assert found.severity == "ok"
    assert str(compiler) in found.says
    monkeypatch.setenv("CXX", str(tmp_path / "no-such"))
    assert limit("C++ compiler", plain).severity == "note"


def test_the_cache_folder_need_not_exist(
    plain: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "a/b"))
    assert limit("cache folder", plain).severity == "ok"
    assert not (tmp_path / "a").exists()


def test_a_cache_folder_that_is_a_file_is_a_note(
    plain: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "file/edgekit"))
    found = limit("cache folder", plain)
    assert found.severity == "note"
    assert "EDGEKIT_CACHE" in found.mend
