"""The real onnxruntime-gpu where there is no GPU and nothing of CUDA."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.environments, pytest.mark.timeout(300)]
NO_GPU = "no NVIDIA GPU can be seen from here"


@pytest.fixture(scope="module")
def gpu_wheel(make_environment: Any) -> Any:
    # It says which build it is: its own needs are CUDA's packages, which are not installed.
    return make_environment("flatbuffers", "packaging", "protobuf", "onnxruntime-gpu>=1.31")


def test_onnxruntime_says_that_cuda_is_available(gpu_wheel: Any) -> None:
    said = gpu_wheel.run("-c", "import onnxruntime as o; print(o.get_available_providers())")
    assert "CUDAExecutionProvider" in said.stdout


def test_doctor_tells_what_is_missing(gpu_wheel: Any) -> None:
    done = gpu_wheel.edgekit("doctor")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(NO_GPU) == 1
    assert "libnvinfer.so.10 is needed" in done.stdout
    assert "libcudnn.so.9 is needed" in done.stdout
    assert "Models can run here." in done.stdout


@pytest.mark.parametrize(
    ("provider", "library"), [("cuda", "libcublasLt.so.13"), ("tensorrt", "libnvinfer.so.10")]
)
def test_doctor_of_one_provider_names_libraries_and_ends_with_one(
    provider: str, library: str, gpu_wheel: Any
) -> None:
    if gpu_wheel.run("-c", f"import ctypes; ctypes.CDLL({library!r})").returncode == 0:
        pytest.skip(f"this machine has {library}")
    done = gpu_wheel.edgekit("doctor", "--provider", provider, "--json")
    assert done.returncode == 1, done.stderr
    (row,) = json.loads(done.stdout)["providers"]
    assert row["diagnosis"]["cause"].startswith(NO_GPU)
    assert library in " ".join(row["diagnosis"]["also"])
    assert f"pip install 'edgekit-onnx[{row['extra']}]'" in row["diagnosis"]["mend"]


@pytest.mark.parametrize("name", ["cuda", "tensorrt"])
def test_every_option_is_one_that_the_library_reads(name: str, gpu_wheel: Any) -> None:
    # A session of a provider without a GPU tells nothing of its options: the library itself does.
    from edgekit import providers

    said = gpu_wheel.run("-c", "import onnxruntime; print(onnxruntime.__file__)")
    capi = Path(said.stdout.strip()).parent / "capi"
    library = (capi / f"libonnxruntime_providers_{name}.so").read_bytes()
    provider = providers.find(name)
    written = {*provider.options}
    if provider.profile_form:
        written |= {provider.profile_form.format(bound=bound) for bound in ("min", "opt", "max")}
        written |= {"trt_engine_cache_enable", "trt_engine_cache_path", "trt_timing_cache_path"}
    assert {option for option in written if option.encode() not in library} == set()


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
@pytest.mark.parametrize("command", ["bench", "check"])
def test_a_provider_that_is_listed_and_not_there_is_refused(
    command: str, provider: str, gpu_wheel: Any, tiny_package: Path
) -> None:
    done = gpu_wheel.edgekit(command, tiny_package, "--provider", provider)
    assert done.returncode == 1
    assert f"execution provider {provider!r} cannot be used here: {NO_GPU}" in done.stderr
    assert "\x1b[" not in done.stderr  # onnxruntime's coloured lines
    assert "onnxruntime_src" not in done.stderr


def test_the_cpu_is_as_good_as_with_the_plain_wheel(gpu_wheel: Any, tiny_package: Path) -> None:
    done = gpu_wheel.edgekit("check", tiny_package)
    assert done.returncode == 0, done.stderr


def test_a_part_of_the_tests_passes_there(gpu_wheel: Any, project: Path, tmp_path: Path) -> None:
    done = gpu_wheel.run(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not gpu", "--color=no"),
        *("--rootdir", project, "--basetemp", tmp_path / "inner"),
        *(project / "tests" / room for room in ("package", "providers", "runtime")),
        *(project / "tests" / file for file in ("test_machine.py", "test_graphics.py")),
        hide_gpus=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


@pytest.fixture
def project() -> Path:
    return Path(__file__).parents[2]
