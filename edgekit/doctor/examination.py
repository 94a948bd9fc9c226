"""Look at everything once and put the findings together. No model is run."""

from __future__ import annotations

from pathlib import Path

from edgekit import graphics, providers
from edgekit import machine as machines
from edgekit.doctor import conflicts, features, interpreter, limits, nvidia, packages
from edgekit.doctor.report import ProviderFinding, Report, Severity
from edgekit.installed import RUNTIMES
from edgekit.providers import ProviderInfo


def examine(*, root: Path = Path("/")) -> Report:
    """Examine this machine and this Python. `root` is where `/proc`, `/sys` and `/dev` lie.

    Nothing is changed: onnxruntime is imported, plug-in providers that are installed are loaded
    into it, and a file that is gone at once is made where the cache folder is.
    """
    machine = machines.describe(root=root)
    seen = graphics.look(root=root)
    found = tuple(_finding(providers.find(name)) for name in providers.names())
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
        nvidia=nvidia.examine(seen),
        graphics=seen,
    )


def examine_provider(name: str, *, library: str | None = None, root: Path = Path("/")) -> Report:
    """Examine what matters for one provider; the report's other parts are empty.

    Args:
        name: the provider's.
        library: a plug-in's library, see `edgekit.providers.find`.
        root: where `/proc`, `/sys` and `/dev` lie.

    Raises:
        UnknownName, BadValue: there is no such provider, or it takes no library.
    """
    provider = providers.find(name, library=library)
    found = _finding(provider)
    machine = machines.describe(root=root)
    seen = graphics.look(root=root)
    needed = {*RUNTIMES, *provider.packages, *(one.distribution for one in provider.libraries)}
    return Report(
        usable=found.diagnosis.usable,
        summary=machines.summary(machine),
        python=(),
        packages=tuple(
            row
            for row in packages.examine()
            if row.distribution in needed and row.version is not None
        ),
        conflicts=conflicts.of_runtime(),
        providers=(found,),
        machine=machine,
        features=(),
        limits=(),
        nvidia=nvidia.examine(seen) if nvidia.matters(provider) else (),
        graphics=seen,
        provider=name,
    )


def _finding(provider: ProviderInfo) -> ProviderFinding:
    diagnosis = provider.diagnose()
    # Without the CPU nothing runs; every other provider is there for those who have the hardware.
    unusable: Severity = "problem" if provider.name == "cpu" else "note"
    return ProviderFinding(
        name=provider.name,
        ort_name=provider.ort_name,
        severity="ok" if diagnosis.usable else unusable,
        diagnosis=diagnosis,
        tried=provider.tried,
        extra=provider.extra,
        needs=(*provider.packages, *(library.soname for library in provider.libraries)),
    )
