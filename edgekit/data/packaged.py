"""The cases that a package brings along: what is used where no other data are given."""

from __future__ import annotations

from pathlib import Path

from edgekit.errors import BadValue
from edgekit.package.cases import open_cases
from edgekit.package.values import Graph, Package
from edgekit.tensors import Dataset
from edgekit.terms import Split


def package_data(path: Path, package: Package, graph: Graph, *, split: Split) -> Dataset | None:
    """Open the package's own cases of one side; None where it has none.

    Args:
        path: the package's folder.
        package: what its manifest says.
        graph: the graph that the cases go into.
        split: "train" for calibration, "test" for evaluation, "reference" for what `check` uses.
    """
    found = {"train": graph.calibration, "test": graph.evaluation, "reference": graph.reference}
    cases = found[split]
    return open_cases(path, package, cases) if cases is not None and cases.cases else None


def without_data(path: str, *, what: str) -> BadValue:
    """Write the error for a package without the data that something needs, with ways to give it.

    Args:
        path: the package.
        what: what needs it: "int8-static".
    """
    return BadValue(
        what=f"{what} of {path}",
        asked="made without calibration data, and the package has none",
        expected="--calib-data with real inputs of the training side (an .npz, a folder of .npy or "
        ".npz files, a .parquet, or file.py:factory), or --synthetic to take made-up values, with "
        "everything measured so marked",
    )
