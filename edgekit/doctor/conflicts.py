"""Packages that stand in each other's way, which pip doesn't notice."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import edgekit
from edgekit.doctor.report import Finding
from edgekit.installed import RUNTIMES, distributions
from edgekit.providers.diagnosis import listed, runtime_problem


def examine() -> tuple[Finding, ...]:
    """Look for two onnxruntimes, one that can't be imported, and modules that hide ours."""
    return (_runtimes(), _runtime_import(), _foreign_edgekit(), _foreign_exporters())


def _runtimes() -> Finding:
    installed = distributions(RUNTIMES)
    if len(installed) < 2:
        return Finding("one onnxruntime", "ok", listed(installed) or "None is installed.")
    return Finding(
        "one onnxruntime",
        "problem",
        f"{listed(installed)} are one import package and overwrite each other's files.",
        f"Run: pip uninstall -y {' '.join(installed)}, then one of: pip install "
        "'edgekit-onnx[cpu]', pip install 'edgekit-onnx[gpu]'",
    )


def _runtime_import() -> Finding:
    problem = runtime_problem("cpu")
    if problem is not None:
        return Finding("import onnxruntime", "problem", f"{problem.cause}.", problem.mend)
    import onnxruntime

    return Finding("import onnxruntime", "ok", f"onnxruntime {onnxruntime.__version__} loads.")


def _foreign_edgekit() -> Finding:
    foreign = distributions(("edgekit",))
    if not foreign:
        return Finding("the name edgekit", "ok", f"edgekit comes from {_our_root()}.")
    return Finding(
        "the name edgekit",
        "problem",
        f"{listed(foreign)} is somebody else's distribution, with files in the same folder.",
        "Run: pip uninstall -y edgekit && pip install --force-reinstall edgekit-onnx",
    )


def _foreign_exporters() -> Finding:
    folder = _where("exporters")
    if folder is None:
        says = "There is no module exporters, so nothing can be exported here."
        mend = "Run: pip install --force-reinstall edgekit-onnx"
        return Finding("the name exporters", "note", says, mend)
    if folder.parent == _our_root():
        return Finding("the name exporters", "ok", f"exporters comes from {folder.parent}.")
    return Finding(
        "the name exporters",
        "problem",
        f"Another package named exporters hides edgekit's own: {folder}.",
        "Run from another folder, or rename or uninstall that package.",
    )


def _our_root() -> Path:
    return Path(edgekit.__file__).resolve().parent.parent


def _where(module: str) -> Path | None:
    """Find the folder, or the file, that a module would be imported from, without importing it."""
    spec = find_spec(module)
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or [spec.origin or ""])
    return Path(folders[0]).resolve()
