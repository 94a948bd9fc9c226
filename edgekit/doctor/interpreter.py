"""The Python that runs, and the system that it runs on."""

from __future__ import annotations

import sys

from edgekit import hardware
from edgekit.doctor.report import Finding

FLOOR = (3, 11)
"""The oldest Python that edgekit runs on."""

_TESTED = {("Linux", "x86_64")}
_SUPPORTED = {
    ("Linux", "aarch64"),
    ("Darwin", "aarch64"),
    ("Darwin", "x86_64"),
    ("Windows", "x86_64"),
}


def examine() -> tuple[Finding, ...]:
    """Look at Python's version and word size, and at the platform."""
    return (_version(), _platform())


def _version() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    needed = ".".join(map(str, FLOOR))
    if sys.version_info[:2] < FLOOR:
        mend = f"Install Python {needed} or newer and make a new environment with it."
        return Finding("python", "problem", f"Python {version} is older than {needed}.", mend)
    if sys.maxsize < 2**32:
        says = f"Python {version} is a 32-bit build; there is no onnxruntime for it."
        return Finding("python", "problem", says, "Install a 64-bit Python.")
    return Finding("python", "ok", f"Python {version} at {sys.executable}.")


def _platform() -> Finding:
    arch, system = hardware.platform_names()
    pair = (system.split()[0], arch)
    if pair in _TESTED:
        return Finding("platform", "ok", f"{system} on {arch} is tested.")
    if pair in _SUPPORTED:
        says = f"{system} on {arch} is supported and not part of edgekit's own tests."
        return Finding("platform", "note", says, "Run 'edgekit check' on every package used here.")
    says = f"{system} on {arch} is neither supported nor tested."
    return Finding("platform", "problem", says, "Use Linux, macOS or Windows on x86-64 or ARM64.")
