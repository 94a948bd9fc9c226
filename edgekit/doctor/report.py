"""What an examination finds: plain values, made to be written as JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgekit.graphics import Graphics
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
    """An execution provider, by our name and ONNX Runtime's, and whether it can be used here.

    `tried` is that edgekit's own tests or benchmarks ran a model on it; `extra` is what installs
    it, empty where edgekit-onnx has none for it; `needs` are distributions and shared libraries.
    """

    name: str
    ort_name: str
    severity: Severity
    diagnosis: Diagnosis
    tried: bool = False
    extra: str = ""
    needs: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True):
    """Everything that was found; of one provider alone where `provider` names it.

    `usable` says whether a model can run here: on that provider, else on the CPU. `summary` names
    the processor in a few words, `features` are about its instruction sets, `nvidia` about GPUs,
    driver, CUDA, cuDNN and TensorRT.
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
    nvidia: tuple[Finding, ...] = ()
    graphics: Graphics = Graphics()
    provider: str = ""
    schema_version: int = SCHEMA_VERSION
