"""Wheels in pieces: fetched by pip from a folder of tiny ones, carried, joined, and installed."""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import wheelhouse

SCRIPT = Path(wheelhouse.__file__)
RUNTIMES = ("onnxruntime", "onnxruntime-gpu")


def wheel(
    folder: Path, name: str, version: str = "1.0", *, needs: str = "", text: str = ""
) -> Path:
    """Write a wheel of one module that can be installed."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    path = folder / f"{module}-{version}-py3-none-any.whl"
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        f"{module}.py": text,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for entry, content in files.items():
            archive.writestr(entry, content)
        archive.writestr(f"{info}/RECORD", "".join(f"{e},,\n" for e in (*files, f"{info}/RECORD")))
    return path


def run(*arguments: str | Path) -> int:
    return wheelhouse.main([str(argument) for argument in arguments])


def cut(folder: Path, *, size: str = "100") -> Path:
    """Split a folder and return that of its pieces."""
    assert run("split", folder, "--size", size) == 0
    return folder / "pieces"


def test_installing_side_needs_the_standard_library_alone() -> None:
    names = set()
    for node in ast.walk(ast.parse(SCRIPT.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    assert names <= sys.stdlib_module_names
    done = subprocess.run(
        [sys.executable, "-I", "-S", SCRIPT, "install", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--dry-run" in done.stdout


@given(
    sizes=st.lists(st.integers(0, 400), min_size=1, max_size=5),
    size=st.integers(1, 300),
)
@settings(max_examples=40, deadline=None)
def test_files_come_out_of_the_pieces_as_they_went_in(
    sizes: list[int], size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("house")
    for index, length in enumerate(sizes):
        content = bytes((index * 37 + i * 101) % 256 for i in range(length))
        (folder / f"{index}.bin").write_bytes(content)
    pieces = cut(folder, size=str(size))
    lengths = [path.stat().st_size for path in sorted(pieces.glob("*.piece"))]
    assert sum(lengths) == sum(sizes)
    assert all(length == size for length in lengths[:-1])
    manifest = json.loads((pieces / "manifest.json").read_bytes())
    for path in wheelhouse._join(pieces, manifest, folder / "joined"):
        assert path.read_bytes() == (folder / path.name).read_bytes()


def test_pieces_gather_a_few_at_a_time_and_none_is_copied_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "big.bin").write_bytes(bytes(range(250)))
    pieces = cut(tmp_path / "house")
    some, there = tmp_path / "some", tmp_path / "there"
    some.mkdir()
    for name in ("manifest.json", "0002.piece"):
        (some / name).write_bytes((pieces / name).read_bytes())
    assert run("carry", some, there) == 0
    assert "2 of 3 are still to come: 0001.piece, 0003.piece" in capsys.readouterr().out
    assert run("install", there, "--dry-run") == 1
    assert "missing in" in (said := capsys.readouterr().err)
    assert "0001.piece, 0003.piece" in said
    before = (there / "0002.piece").stat().st_ino
    assert run("carry", pieces, there) == 0
    assert "2 pieces copied" in capsys.readouterr().out
    assert (there / "0002.piece").stat().st_ino == before
    assert run("install", there, "--dry-run") == 0
    assert "all 3 pieces are whole; 0 wheels would be installed" in capsys.readouterr().out


def test_corrupt_piece_is_named_and_carried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "big.bin").write_bytes(bytes(range(250)))
    pieces, there = cut(tmp_path / "house"), tmp_path / "there"
    run("carry", pieces, there)
    (there / "0001.piece").write_bytes(bytes(100))
    assert run("install", there) == 1
    assert "corrupt in" in (said := capsys.readouterr().err)
    assert "0001.piece; carry" in said
    assert not (there / "joined").exists()
    run("carry", pieces, there)
    assert run("install", there, "--dry-run") == 0
    (pieces / "0003.piece").write_bytes(b"")
    (there / "0003.piece").unlink()
    run("carry", pieces, there)
    assert "still to come: 0003.piece (corrupt)" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["../outside.whl", "/tmp/outside.whl", "..", ""])
def test_name_that_leads_out_of_the_folder_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "a.bin").write_bytes(b"content")
    pieces = cut(tmp_path / "house")
    manifest = json.loads((pieces / "manifest.json").read_bytes())
    manifest["files"][0]["name"] = name
    (pieces / "manifest.json").write_text(json.dumps(manifest))
    assert run("install", pieces, "--venv", tmp_path / "venv") == 1
    assert "is no file's plain name" in capsys.readouterr().err


def test_wheels_are_installed_beside_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    house, venv = tmp_path / "house", tmp_path / "venv"
    needed = "Requires-Dist: numpy\nRequires-Dist: carried-too\n"
    wheel(house, "carried-along", needs=needed, text="import carried_too, numpy\n")
    wheel(house, "carried-too", text="answer = 42\n")
    (house / "notes.txt").write_text("travels along")
    pieces = cut(house)
    assert run("install", pieces, "--venv", venv) == 0
    assert "installed 2 wheels" in capsys.readouterr().out
    assert (pieces / "joined" / "notes.txt").read_text() == "travels along"
    code = "import carried_along as c; print(c.carried_too.answer, c.carried_too.__file__)"
    done = subprocess.run(
        [venv / "bin" / "python", "-I", "-c", code], capture_output=True, text=True, check=True
    )
    answer, place = done.stdout.split()
    assert answer == "42"
    assert Path(place).is_relative_to(venv)


def test_wheel_whose_need_is_nowhere_is_an_error_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel(tmp_path / "house", "carried-along", needs="Requires-Dist: left-at-home>=3\n")
    assert run("install", cut(tmp_path / "house"), "--venv", tmp_path / "venv") == 1
    assert "left-at-home>=3" in capsys.readouterr().err


def test_one_build_of_onnxruntime_is_not_put_over_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgekit.installed import runtimes

    (there,) = runtimes()
    other = next(name for name in RUNTIMES if name != there)
    wheel(tmp_path / "house", other)
    assert run("install", cut(tmp_path / "house"), "--dry-run") == 1
    said = capsys.readouterr().err
    assert f"{there} is installed here" in said
    assert "--venv" in said


def test_fetch_takes_what_the_other_machine_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    index, house = tmp_path / "index", tmp_path / "house"
    extra = "Provides-Extra: gpu\nRequires-Dist: onnxruntime-gpu; extra == 'gpu'\n"
    own = wheel(tmp_path / "own", "edgekit-onnx", needs=f"{extra}Requires-Dist: msgspec\n")
    wheel(index, "onnxruntime-gpu", "1.31.1", needs="Requires-Dist: numpy\n")
    wheel(index, "onnxscript", "0.7.2", needs="Requires-Dist: numpy\n")
    wheel(index, "msgspec", "0.22.0")
    wheel(index, "numpy", "2.4.6")
    wheel(house, "msgspec", "0.19.0")  # of an earlier fetch
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    there = tmp_path / "there.txt"
    there.write_text("numpy==2.4.6\nonnxscript @ file:///somewhere\n")
    options: list[str | Path] = [
        "--wheel",
        own,
        "--extras",
        "gpu",
        "--have",
        f"@{there}",
        "--tensorrt",
    ]
    assert run("fetch", house, *options) == 0
    assert {path.name.split("-")[0] for path in house.glob("*.whl")} == {
        "edgekit_onnx",
        "msgspec",
        "onnxruntime_gpu",
    }
    manifest = json.loads((house / "manifest.json").read_bytes())
    assert manifest["expected_there"] == {"numpy": "2.4.6", "onnxscript": "0.7.2"}
    assert "tensorrt-cu13-libs" in manifest["left_out"]["tensorrt-cu13-libs"]
    assert "msgspec-0.22.0-py3-none-any.whl" in capsys.readouterr().out
    assert json.loads((cut(house) / "manifest.json").read_bytes())["left_out"]


def test_reason_of_pip_is_the_last_exception_or_its_own() -> None:
    stub = ["  error: subprocess-exited-with-error", "   urllib.error.URLError: <no route>", "note"]
    assert wheelhouse._failure(stub) == "urllib.error.URLError: <no route>"
    assert wheelhouse._failure(["ERROR: a", "ERROR: b", "hint"]) == "ERROR: a ERROR: b"
    assert wheelhouse._failure([]) == "it said nothing"


@pytest.mark.parametrize(("text", "size"), [("60MiB", 60 * 2**20), ("7", 7), ("1 GiB", 2**30)])
def test_size_is_read(text: str, size: int) -> None:
    assert wheelhouse._size(text) == size


@pytest.mark.parametrize("text", ["0", "60MB", "-1", "many"])
def test_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="such as 60MiB"):
        wheelhouse._size(text)


def test_folder_without_wheels_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("split", tmp_path) == 1
    assert "run 'fetch' first" in capsys.readouterr().err
    assert run("install", tmp_path) == 1
    assert "run 'split'" in capsys.readouterr().err
