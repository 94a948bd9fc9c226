"""The real plug-in of TensorRT for RTX where there is no driver."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.environments, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def rtx_plugin(make_environment: Any) -> Any:
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("this machine has NVIDIA's driver")
    return make_environment(
        *("flatbuffers", "packaging", "protobuf"),
        *("onnxruntime>=1.32", "onnxruntime-ep-nv-tensorrt-rtx-cu13>=0.5"),
    )


def test_doctor_names_the_drivers_library(rtx_plugin: Any) -> None:
    done = rtx_plugin.edgekit("doctor", "--provider", "tensorrt-rtx", "--json")
    assert done.returncode == 1, done.stderr
    (row,) = json.loads(done.stdout)["providers"]
    assert row["diagnosis"]["cause"] == "no NVIDIA GPU can be seen from here"
    assert "libcuda.so.1" in " ".join(row["diagnosis"]["also"])


def test_the_provider_is_refused(rtx_plugin: Any, tiny_package: Path) -> None:
    done = rtx_plugin.edgekit("check", tiny_package, "--provider", "tensorrt-rtx")
    assert done.returncode == 1
    assert "no NVIDIA GPU can be seen from here" in done.stderr


def test_the_cpu_works_beside_it(rtx_plugin: Any, tiny_package: Path) -> None:
    done = rtx_plugin.edgekit("check", tiny_package)
    assert done.returncode == 0, done.stderr


def test_every_option_is_one_that_the_plug_in_reads(rtx_plugin: Any) -> None:
    from edgekit import providers

    module = "onnxruntime_ep_nv_tensorrt_rtx"
    said = rtx_plugin.run("-c", f"import {module}; print({module}.get_library_path())")
    library = Path(said.stdout.strip()).read_bytes()
    provider = providers.find("tensorrt-rtx")
    written = {*provider.options, "nv_runtime_cache_path"}
    written |= {provider.profile_form.format(bound=bound) for bound in ("min", "opt", "max")}
    assert {option for option in written if option.encode() not in library} == set()
