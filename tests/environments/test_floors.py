"""The lowest versions that pyproject.toml names, all of them at once."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
EXTRAS = ("cpu", "build", "data")  # what a device may have; torch would take minutes

pytestmark = [pytest.mark.environments, pytest.mark.timeout(300)]


def floors() -> list[str]:
    """Read what is asked for without an extra and with those of a device, each at its lowest."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"]]
    for extra in EXTRAS:
        asked += project["optional-dependencies"][extra]
    found = [re.fullmatch(r"([a-z-]+)>=([0-9.]+)", one) for one in asked]
    assert all(found), asked
    return [f"{one[1]}=={one[2]}" for one in found if one]


@pytest.fixture(scope="module")
def lowest(make_environment: Any) -> Any:
    return make_environment(*floors(), at_once=True)


def test_a_package_is_checked_benched_and_given_fewer_bits(lowest: Any, tiny_package: Path) -> None:
    for command in (
        ("check", tiny_package),
        ("bench", tiny_package, "--starts", "2", "--rounds", "1", "--threads", "1"),
        ("quantize", tiny_package, "--scheme", "fp16", "--min-cosine", "0.9"),
    ):
        done = lowest.edgekit(*command, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        json.loads(done.stdout)
    said = json.loads(lowest.edgekit("doctor", "--json").stdout)
    versions = {one["distribution"]: one["version"] for one in said["packages"] if one["version"]}
    for name, version in (floor.split("==") for floor in floors()):
        assert re.fullmatch(rf"{re.escape(version)}(\.0)*", versions[name]), name


def test_cases_come_from_parquet(lowest: Any, tiny_package: Path, tmp_path: Path) -> None:
    table = tmp_path / "cases.parquet"
    write = (
        "import pyarrow as pa, pyarrow.parquet as pq; "
        "rows = [[float(r * i) for i in range(4)] for r in range(30)]; "
        f"pq.write_table(pa.table({{'x': rows}}), {str(table)!r})"
    )
    assert lowest.run("-c", write).returncode == 0
    done = lowest.edgekit(
        *("compare", tiny_package, f"{tiny_package}:fp32", "--eval-data", table, "--json")
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"n":30' in "".join(done.stdout.split())
