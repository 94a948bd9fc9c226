"""What an examination finds: plain values, made to be written as JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgekit.machine import Machine
from edgekit.providers import Diagnosis

SCHEMA_VERSION = 1
"""Version of the report's JSON; raised when a field changes its meaning or goes."""

Severity = Literal["ok", "note", "problem"]
"""As it should be; worth knowing, since something is slower, less exact or left out; or broken."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at: `says` is a sentence, `mend` what to do, empty for nothing."""

    subject: str
    severity: Severity
    says: str
    mend: str = ""


class PackageFinding(msgspec.Struct, frozen=True):
    """A distribution: its version, None where it isn't installed, and the extra that brings it.

    `extra` is empty for what edgekit-onnx always needs; `floor` is the oldest version that will do.
    """

    distribution: str
    version: str | None
    floor: str
    extra: str
    severity: Severity
    says: str
    mend: str = ""


class ProviderFinding(msgspec.Struct, frozen=True):
    """An execution provider, by our name and ONNX Runtime's, and whether it can be used here."""

    name: str
    ort_name: str
    severity: Severity
    diagnosis: Diagnosis


class Report(msgspec.Struct, frozen=True):
    """Everything that was found.

    `usable` says whether a model can run here, which is whether the CPU provider works. `summary`
    names the processor in a few words, `features` are about its instruction sets.
    """

    usable: bool
    summary: str
    python: tuple[Finding, ...]
    packages: tuple[PackageFinding, ...]
    conflicts: tuple[Finding, ...]
    providers: tuple[ProviderFinding, ...]
    machine: Machine
    features: tuple[Finding, ...]
    limits: tuple[Finding, ...]
    schema_version: int = SCHEMA_VERSION
