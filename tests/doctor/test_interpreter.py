from __future__ import annotations

import sys

import pytest

from edgekit import hardware
from edgekit.doctor import interpreter


def test_this_python_is_right() -> None:
    python, _ = interpreter.examine()
    assert python.severity == "ok"
    assert f"{sys.version_info[0]}.{sys.version_info[1]}" in python.says


def test_an_old_python_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    python, _ = interpreter.examine()
    assert python.severity == "problem"
    assert "3.10.4 is older than 3.11" in python.says


def test_a_32_bit_python_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "maxsize", 2**31 - 1)
    assert interpreter.examine()[0].severity == "problem"


@pytest.mark.parametrize(
    ("arch", "system", "severity"),
    [
        ("x86_64", "Linux 6.1.0", "ok"),
        ("aarch64", "Linux 6.1.0", "note"),
        ("aarch64", "Darwin 24.1", "note"),
        ("x86_64", "Windows 11", "note"),
        ("riscv64", "Linux 6.1.0", "problem"),
        ("x86_64", "FreeBSD 14.1", "problem"),
    ],
)
def test_platforms_are_tested_supported_or_neither(
    arch: str, system: str, severity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "platform_names", lambda: (arch, system))
    platform = interpreter.examine()[1]
    assert platform.severity == severity
    assert bool(platform.mend) == (severity != "ok")
