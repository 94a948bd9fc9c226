"""Packages that stand in each other's way, which pip doesn't notice."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import edgekit
from edgekit.doctor import files
from edgekit.doctor.report import Finding
from edgekit.installed import conflict, distributions, listed, owners, runtimes
from edgekit.providers.diagnosis import runtime_problem

_RUNTIME = "onnxruntime"
_OURS = "edgekit-onnx"
_NAMED = 3
"""How many files a finding names."""


def examine() -> tuple[Finding, ...]:
    """Look for two onnxruntimes, one that can't be imported, and modules that hide ours."""
    return (*of_runtime(), _foreign_edgekit(), _foreign_exporters())


def of_runtime() -> tuple[Finding, ...]:
    """Look at the onnxruntime that is installed: whose it is, whether it is whole and loads."""
    return (_owners(), *_files(), _import())


def _owners() -> Finding:
    # Every distribution is asked: whoever brings the folder overwrote the others' files.
    found = {owner.name: owner.version for owner in owners(_RUNTIME)}
    found = runtimes() | {n: v for n, v in found.items() if len(found) > 1}
    if len(found) < 2:
        return Finding("one onnxruntime", "ok", f"{listed(found)}." if found else "None.")
    says = f"{listed(found)} are one import package and overwrite each other's files."
    mend = conflict().rpartition(": ")[2] or f"pip uninstall -y {' '.join(found)}, then install one"
    if "[gpu]" in mend:
        mend += " (or 'edgekit-onnx[cpu]' where no GPU is to be used)"
    return Finding("one onnxruntime", "problem", says, f"Run: {mend}")


def _files() -> list[Finding]:
    """Compare every file's hash with the one that was recorded when it was installed."""
    found = []
    for owner in owners(_RUNTIME):
        compared = files.changed(owner, _RUNTIME)
        subject = f"files of {owner.name}"
        if not compared.files:
            says = f"All {compared.looked_at} that were looked at are as they were installed."
            found.append(Finding(subject, "ok", says))
            continue
        more = len(compared.files) - _NAMED
        named = ", ".join(compared.files[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        says = (
            f"{len(compared.files)} of {compared.looked_at} are others than {owner.name} "
            f"{owner.version} installed, or gone: {named}."
        )
        if conflict():  # the cause, and what mends it, are in the finding before
            found.append(Finding(subject, "note", says))
            continue
        mend = f"Run: pip install --force-reinstall --no-deps {owner.name}=={owner.version}"
        found.append(Finding(subject, "problem", says, mend))
    return found


def _import() -> Finding:
    problem = runtime_problem("cpu")
    if problem is not None:
        return Finding("import onnxruntime", "problem", f"{problem.cause}.", problem.mend)
    import onnxruntime

    return Finding("import onnxruntime", "ok", f"onnxruntime {onnxruntime.__version__} loads.")


def _foreign_edgekit() -> Finding:
    foreign = distributions(("edgekit",))
    foreign |= {o.name: o.version for o in owners("edgekit") if o.name != _OURS}
    if not foreign:
        return Finding("the name edgekit", "ok", f"edgekit comes from {_our_root()}.")
    return Finding(
        "the name edgekit",
        "problem",
        f"{listed(foreign)} is somebody else's distribution, with files in the same folder.",
        f"Run: pip uninstall -y {' '.join(foreign)} && pip install --force-reinstall {_OURS}",
    )


def _foreign_exporters() -> Finding:
    folder = _where("exporters")
    if folder is None:
        says = "There is no module exporters, so nothing can be exported here."
        mend = f"Run: pip install --force-reinstall {_OURS}"
        return Finding("the name exporters", "note", says, mend)
    if folder.parent == _our_root():
        return Finding("the name exporters", "ok", f"exporters comes from {folder.parent}.")
    theirs = {o.name: o.version for o in owners("exporters") if o.name != _OURS}
    whose = f", of {listed(theirs)}" if theirs else ""
    return Finding(
        "the name exporters",
        "problem",
        f"Another package named exporters hides edgekit's own: {folder}{whose}.",
        f"Run: pip uninstall -y {' '.join(theirs)}"
        if theirs
        else "Run from another folder, or rename or uninstall that package.",
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
