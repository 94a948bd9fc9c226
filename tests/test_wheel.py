"""The device walk: the built wheel, not the tree, where there is neither torch nor onnx."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.timeout(400)  # of which pip takes nearly everything


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the tree, so that the tree stays as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    tree.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, tree)
    for name in ("edgekit", "exporters", "tests"):
        shutil.copytree(
            PROJECT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", ".*")
        )
    pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", str(folder), str(tree))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def device(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the environment of a device: the wheel with its extra `cpu`, and nothing else."""
    environment = tmp_path_factory.mktemp("device") / "venv"
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True, timeout=60
    )
    pip(
        sys.executable,
        *("--python", str(environment), "install"),
        *("--constraint", str(PROJECT / "constraints.txt"), f"{wheel}[cpu]"),
    )
    return environment / ("Scripts" if os.name == "nt" else "bin")


@pytest.fixture
def on_device(device: Path, tmp_path: Path) -> Run:
    """Run a program of the device in an empty folder; nothing leads from there to the tree."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "COLUMNS")
    }
    clean["EDGEKIT_CACHE"] = str(tmp_path / "cache")

    def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [device / program, *arguments],
            cwd=tmp_path,
            env=clean,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def pip(python: str, *arguments: str) -> None:
    done = subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_wheel_holds_both_packages_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(
            archive.read(n).decode() for n in names if n.endswith(".dist-info/METADATA")
        )
    tops = {name.split("/")[0] for name in names}
    info = next(top for top in tops if top.endswith(".dist-info"))
    assert tops == {"edgekit", "exporters", info}
    assert wheel.name.startswith("edgekit_onnx-")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert {"edgekit/py.typed", "exporters/py.typed"} <= set(names)
    assert f"{info}/licenses/LICENSE" in names
    assert not [name for name in names if "test" in name.lower() or name.endswith(".pyc")]
    source = {
        path.relative_to(PROJECT).as_posix()
        for package in ("edgekit", "exporters")
        for path in (PROJECT / package).rglob("*.py")
    }
    assert source <= set(names)
    for extra in ("cpu", "gpu", "tensorrt", "openvino", "build", "export", "models"):
        assert f"Provides-Extra: {extra}\n" in metadata
    assert "Requires-Dist: onnxruntime>=1.31; extra == 'cpu'" in metadata
    base = [line for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    assert not [
        line for line in base if "extra ==" not in line and ("onnx" in line or "torch" in line)
    ]


def test_a_package_from_elsewhere_runs_on_a_device(
    cnn_package: Path, on_device: Run, device: Path, tmp_path: Path
) -> None:
    shutil.copytree(cnn_package, tmp_path / "cnn.edgekit")

    where = on_device("python", "-c", "import edgekit, exporters; print(edgekit.__file__)")
    assert where.stdout.startswith(str(device.parent)), where
    for name in ("torch", "onnx", "onnx_ir"):
        missing = on_device("python", "-c", f"import {name}")
        assert f"No module named '{name}'" in missing.stderr

    checked = on_device("edgekit", "check", "cnn.edgekit", "--json")
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["passed"] is True

    quick = ("--starts", "2", "--rounds", "1", "--original", "cnn", "--json")
    benched = on_device("edgekit", "bench", "cnn.edgekit", *quick)
    assert benched.returncode == 0, benched.stderr
    report = json.loads(benched.stdout)
    assert [row["label"] for row in report["rows"]] == ["fp32 · cpu"]
    assert report["rows"][0]["accuracy"]["n"] == 1500
    assert report["rows"][0]["agreement"]["value"] >= 0.999
    (left,) = report["bench"]["left_out"]
    assert left["label"] == "PyTorch eager"
    assert "'edgekit-onnx[export]'" in left["reason"]

    called = on_device(
        "python",
        "-c",
        "import edgekit, numpy as np, sys\n"
        "with edgekit.load('cnn.edgekit') as model:\n"
        "    print(model(np.zeros((5, 3, 28, 28), np.float32)).shape)\n"
        "    print(model.check().passed)\n",
    )
    assert called.stdout.splitlines() == ["(5, 10)", "True"], called.stderr

    inspected = on_device("edgekit", "inspect", "cnn.edgekit")
    assert "Operators of fp32: 2 Conv" in inspected.stdout, inspected.stderr


def test_a_device_says_what_it_lacks(on_device: Run, tmp_path: Path) -> None:
    doctor = on_device("edgekit", "doctor")
    assert (doctor.returncode, doctor.stderr) == (0, "")
    assert "torch [export]" in doctor.stdout
    assert "Models can run here." in doctor.stdout

    exported = on_device("edgekit", "export", "cnn")
    assert exported.returncode == 1
    assert exported.stdout == ""
    assert exported.stderr.splitlines()[-1] == (
        "Error: The export of cnn needs the Python package 'torch', which is not installed here. "
        "Install it with: pip install 'edgekit-onnx[export,models]'"
    )
    (tmp_path / "net.py").write_text("def make(): ...\n")
    exported = on_device("edgekit", "export", "net.py:make")
    assert exported.stderr.splitlines()[-1].endswith("pip install 'edgekit-onnx[export]'")

    (tmp_path / "any.onnx").write_bytes(b"")
    for command in ("export", "inspect"):
        packed = on_device("edgekit", command, "any.onnx")
        assert packed.returncode == 1
        assert packed.stderr.splitlines()[-1].endswith("pip install 'edgekit-onnx[build]'")
