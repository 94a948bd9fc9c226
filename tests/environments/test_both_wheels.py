"""onnxruntime and onnxruntime-gpu in one environment, as pip lets it happen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.environments, pytest.mark.timeout(300)]
MEND = "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'edgekit-onnx[gpu]'"


@pytest.fixture(scope="module")
def both_wheels(make_environment: Any) -> Any:
    return make_environment(
        *("flatbuffers", "packaging", "protobuf"), "onnxruntime-gpu>=1.31", "onnxruntime>=1.31"
    )


def test_doctor_names_both_and_the_files_that_were_overwritten(both_wheels: Any) -> None:
    done = both_wheels.edgekit("doctor", "--json")
    report = json.loads(done.stdout)
    conflicts = {finding["subject"]: finding for finding in report["conflicts"]}
    owners = conflicts["one onnxruntime"]
    assert owners["severity"] == "problem"
    assert "onnxruntime 1." in owners["says"]
    assert "onnxruntime-gpu 1." in owners["says"]
    assert owners["mend"].startswith(f"Run: {MEND}")
    # The second was installed over the first.
    assert "All" in conflicts["files of onnxruntime"]["says"]
    assert "onnxruntime/__init__.py" in conflicts["files of onnxruntime-gpu"]["says"]


def test_every_load_warns_and_works_on_the_cpu(both_wheels: Any, tiny_package: Path) -> None:
    code = f"import edgekit; m = edgekit.load({str(tiny_package)!r}); print(m.check().passed)"
    done = both_wheels.run("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "True"
    assert "overwrote each other's files" in done.stderr
    assert MEND in done.stderr


def test_a_gpus_provider_is_refused_with_what_mends_it(
    both_wheels: Any, tiny_package: Path
) -> None:
    done = both_wheels.edgekit("check", tiny_package, "--provider", "cuda")
    assert done.returncode == 1
    assert (
        "are both installed"
        in done.stderr + both_wheels.edgekit("doctor", "--provider", "cuda").stdout
    )
    assert MEND in done.stderr
