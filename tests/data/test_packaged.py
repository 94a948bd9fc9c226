from __future__ import annotations

from pathlib import Path

import msgspec

from edgekit.data import package_data, without_data
from edgekit.package import reading
from edgekit.terms import Split


def test_a_package_s_own_cases_are_opened_by_their_side(tiny_package: Path) -> None:
    package = reading.read(tiny_package)
    sides: tuple[Split, ...] = ("test", "reference", "train")
    found = [package_data(tiny_package, package, package.graphs[0], split=s) for s in sides]
    assert [data and (data.split, data.cases) for data in found] == [
        ("test", 20),
        ("reference", 4),
        None,
    ]
    assert found[0] is not None
    assert [case.label is None for case in found[0].open()] == [False] * 20


def test_a_file_of_no_cases_is_none(tiny_package: Path) -> None:
    package = reading.read(tiny_package)
    graph = package.graphs[0]
    assert graph.evaluation is not None
    empty = msgspec.structs.replace(
        graph, evaluation=msgspec.structs.replace(graph.evaluation, cases=0)
    )
    assert package_data(tiny_package, package, empty, split="test") is None


def test_what_lacks_data_says_how_to_give_them() -> None:
    said = str(without_data("net.edgekit", what="int8-static"))
    assert said.startswith("int8-static of net.edgekit cannot be made without calibration data")
    for way in ("--calib-data", ".npz", ".npy", ".parquet", "file.py:factory", "--synthetic"):
        assert way in said
