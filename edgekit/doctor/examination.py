"""Look at everything once and put the findings together. No model is run."""

from __future__ import annotations

from pathlib import Path

from edgekit import machine as machines
from edgekit import providers
from edgekit.doctor import conflicts, features, interpreter, limits, packages
from edgekit.doctor.report import ProviderFinding, Report, Severity


def examine(*, root: Path = Path("/")) -> Report:
    """Examine this machine and this Python. `root` is where `/proc`, `/sys` and `/dev` lie.

    Nothing is changed: onnxruntime is imported, a plug-in provider that is installed is loaded into
    it, and a file that is gone at once is made where the cache folder is.
    """
    machine = machines.describe(root=root)
    found = tuple(_provider(name) for name in providers.names())
    return Report(
        usable=any(row.name == "cpu" and row.diagnosis.usable for row in found),
        summary=machines.summary(machine),
        python=interpreter.examine(),
        packages=packages.examine(),
        conflicts=conflicts.examine(),
        providers=found,
        machine=machine,
        features=features.examine(machine),
        limits=limits.examine(machine, root=root),
    )


def _provider(name: str) -> ProviderFinding:
    provider = providers.find(name)
    diagnosis = provider.diagnose()
    # Without the CPU nothing runs; every other provider is there for those who have the hardware.
    unusable: Severity = "problem" if name == "cpu" else "note"
    return ProviderFinding(
        name=name,
        ort_name=provider.ort_name,
        severity="ok" if diagnosis.usable else unusable,
        diagnosis=diagnosis,
    )
