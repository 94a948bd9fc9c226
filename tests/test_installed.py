from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.installed import RUNTIMES, conflict, distributions, install_command, owners, runtimes

Installed = Callable[[dict[str, str]], None]
Put = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Install a distribution's metadata into one of two folders, `first` and `second`."""
    monkeypatch.setattr(sys, "path", [str(tmp_path / name) for name in ("first", "second")])

    def install(name: str, version: str, *files: str, folder: str = "first") -> Path:
        info = tmp_path / folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        if files:
            (info / "RECORD").write_text("".join(f"{file},sha256=x,1\n" for file in files))
        return info

    return install


def test_owners_are_those_with_files_below_the_package(put: Put) -> None:
    put("some-thing", "1.0", "thing/__init__.py", "thing/x.py")
    put("other-thing", "2.0", "bin/tool", "thing/y.py")
    put("things", "3.0", "things/__init__.py", "a/thing/z.py")
    put("thing-less", "4.0")
    found = owners("thing")
    assert [(owner.name, owner.version) for owner in found] == [
        ("other-thing", "2.0"),
        ("some-thing", "1.0"),
    ]
    assert [owner.name for owner in owners("thing", beginning=("some",))] == ["some-thing"]


def test_a_later_folders_package_is_never_imported(put: Put) -> None:
    put("onnxruntime", "1.32.0", "onnxruntime/__init__.py")
    put("onnxruntime-gpu", "1.31.1", "onnxruntime/__init__.py", folder="second")
    assert [owner.name for owner in owners("onnxruntime")] == ["onnxruntime"]
    assert runtimes() == {"onnxruntime": "1.32.0"}
    assert conflict() == ""


def test_an_earlier_folder_comes_first_whatever_its_owner_is_called(put: Put) -> None:
    put("onnxruntime-qnn", "1.20.0", "onnxruntime/__init__.py")
    put("onnxruntime", "1.32.0", "onnxruntime/__init__.py", folder="second")
    assert runtimes() == {"onnxruntime-qnn": "1.20.0"}


@pytest.mark.parametrize("name", [*RUNTIMES, "ort-nightly-gpu"])
def test_every_build_counts(name: str, put: Put) -> None:
    put(name, "1.31.0", "onnxruntime/__init__.py")
    assert runtimes() == {name: "1.31.0"}


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("onnxruntime-extensions", "onnxruntime_extensions/__init__.py"),
        ("onnxruntime-genai", "onnxruntime_genai/__init__.py"),
        ("onnxruntime-qnn", "onnxruntime_qnn/__init__.py"),
        ("onnxruntime-ep-openvino", "onnxruntime_ep_openvino/__init__.py"),
    ],
)
def test_a_plugin_or_an_extension_is_no_build(name: str, file: str, put: Put) -> None:
    put(name, "1.0", file)
    assert runtimes() == {}


def test_what_is_installed_meanwhile_is_seen(put: Put) -> None:
    put("onnxruntime", "1.32.0")
    assert len(runtimes()) == 1
    put("onnxruntime-gpu", "1.31.1")
    assert len(runtimes()) == 2
    put("onnxruntime-directml", "1.24.4")
    assert "are all installed" in conflict()


@pytest.mark.parametrize(
    ("there", "extra", "packages", "command"),
    [
        ({}, "cpu", (), "pip install 'edgekit-onnx[cpu]'"),
        ({"onnxruntime": "1"}, "openvino", (), "pip install 'edgekit-onnx[openvino]'"),
        (
            {"onnxruntime": "1"},
            "gpu",
            (),
            "pip uninstall -y onnxruntime && pip install 'edgekit-onnx[gpu]'",
        ),
        (
            {"onnxruntime-gpu": "1"},
            "tensorrt-rtx",
            (),
            "pip uninstall -y onnxruntime-gpu && pip install 'edgekit-onnx[tensorrt-rtx]'",
        ),
        ({"onnxruntime": "1"}, "build", (), "pip install 'edgekit-onnx[build]'"),
        ({"onnxruntime": "1"}, "", ("some-plugin",), "pip install some-plugin"),
        (
            {"onnxruntime": "1"},
            "",
            ("onnxruntime-directml",),
            "pip uninstall -y onnxruntime && pip install onnxruntime-directml",
        ),
    ],
)
def test_install_command_takes_another_build_out_of_the_way(
    there: dict[str, str],
    extra: str,
    packages: tuple[str, ...],
    command: str,
    installed: Installed,
) -> None:
    installed(there)
    assert install_command(extra, packages=packages) == command


def test_distributions_are_named_as_asked(put: Put) -> None:
    put("Some.Thing", "2.0")
    assert distributions(["some-thing", "gone"]) == {"some-thing": "2.0"}
