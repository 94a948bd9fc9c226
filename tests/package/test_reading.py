"""Reading: only plain files inside the folder, only with the content that was packed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import CorruptPackage, HashMismatch, NotFound
from edgekit.package import manifest, reading
from edgekit.package import values as v
from edgekit.package.reading import open_verified, unchanged

Written = Callable[..., v.Package]
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def folder(tmp_path: Path, written: Written) -> Path:
    """A package with one file, fp32.onnx, of 10 KiB."""
    path = tmp_path / "net.edgekit"
    written(path, fp32=CONTENT)
    return path


@pytest.fixture(params=["in memory", "by path"])
def route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Read the file as a small one, and as one that is too large to be kept in memory."""
    if request.param == "by path":
        monkeypatch.setattr(reading, "IN_MEMORY_BYTES", 1000)
        monkeypatch.setattr(reading, "_CHUNK", 777)
    return str(request.param)


def opened(folder: Path, *, whole: bool = False) -> reading.Verified:
    record = reading.read(folder).files["fp32.onnx"]
    return open_verified(folder, "fp32.onnx", record, whole=whole)


def test_a_file_as_it_was_packed_is_opened(folder: Path, route: str) -> None:
    verified = opened(folder)
    assert verified.path == folder / "fp32.onnx"
    assert verified.content == (CONTENT if route == "in memory" else None)
    assert unchanged(verified)
    assert opened(folder, whole=True).content == CONTENT


def missing(file: Path) -> None:
    file.unlink()


def link(file: Path) -> None:
    file.rename(file.with_name("aside"))
    file.symlink_to("aside")


def link_to_nothing(file: Path) -> None:
    file.unlink()
    file.symlink_to("nowhere")


def hard_to_open(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def grown(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (missing, "fp32.onnx cannot be opened (No such file or directory)"),
        (link, "fp32.onnx cannot be opened ("),
        (link_to_nothing, "fp32.onnx cannot be opened ("),
        (hard_to_open, "fp32.onnx is not a plain file"),
        (directory, "fp32.onnx is not a plain file"),
        (truncated, "fp32.onnx has 10239 bytes and was packed with 10240"),
        (emptied, "fp32.onnx has 0 bytes and was packed with 10240"),
        (grown, "fp32.onnx has 10241 bytes and was packed with 10240"),
    ],
)
def test_a_file_that_is_another_thing_is_refused(
    folder: Path, route: str, harm: Callable[[Path], None], said: str
) -> None:
    harm(folder / "fp32.onnx")
    for whole in (False, True):
        with pytest.raises(CorruptPackage) as refused:
            opened(folder, whole=whole)
        assert said in str(refused.value)
        assert refused.value.facts["path"] == str(folder)


@pytest.mark.parametrize("at", [0, 5000, len(CONTENT) - 1])
def test_a_flipped_byte_is_found(folder: Path, route: str, at: int) -> None:
    content = bytearray(CONTENT)
    content[at] ^= 1
    (folder / "fp32.onnx").write_bytes(content)
    with pytest.raises(HashMismatch, match=r"fp32.onnx in .* is not the file that was packed"):
        opened(folder)


def replaced(path: Path) -> None:
    path.with_name("new").write_bytes(CONTENT)
    path.with_name("new").replace(path)


def written_again(path: Path) -> None:
    status = path.stat()
    path.write_bytes(CONTENT)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


@pytest.mark.parametrize("change", [replaced, written_again, grown, missing, directory])
def test_a_change_after_the_hash_is_noticed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(reading, "IN_MEMORY_BYTES", 1000)
    verified = opened(folder)
    change(folder / "fp32.onnx")
    assert not unchanged(verified)


def test_a_large_model_that_changes_while_it_is_loaded_is_refused(
    tiny_package: Path, monkeypatch: pytest.MonkeyPatch, tiny_answer: Callable[..., np.ndarray]
) -> None:
    """The path leads to another file once the session stands, with the content that was hashed."""
    import onnxruntime

    import edgekit

    monkeypatch.setattr(reading, "IN_MEMORY_BYTES", 10)
    x = np.ones((2, 4), np.float32)
    with edgekit.load(tiny_package) as model:
        np.testing.assert_allclose(model(x), tiny_answer({"x": x}), atol=1e-6)
    make = onnxruntime.InferenceSession

    def changed_meanwhile(source: object, **options: object) -> object:
        assert isinstance(source, str)
        session = make(source, **options)
        path = Path(source)
        path.with_name("new").write_bytes(path.read_bytes())
        path.with_name("new").replace(path)
        return session

    monkeypatch.setattr(onnxruntime, "InferenceSession", changed_meanwhile)
    with pytest.raises(CorruptPackage, match="it was changed while it was loaded"):
        edgekit.load(tiny_package)


def test_a_model_behind_a_link_is_loaded(tmp_path: Path, tiny_onnx: Callable[[], Path]) -> None:
    """Download caches keep files under a hash and link to them."""
    import edgekit

    link = tmp_path / "link.onnx"
    link.symlink_to(tiny_onnx())
    with edgekit.load(link) as model:
        assert model.inputs[0].name == "x"


def test_no_package_is_not_found(tmp_path: Path) -> None:
    for path in (tmp_path / "no.edgekit", tmp_path / ("n" * 300)):
        with pytest.raises(NotFound, match="does not exist; expected a model package"):
            reading.read(path)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (missing, r"manifest.json cannot be opened \(No such file or directory\)"),
        (link, "manifest.json cannot be opened"),
        (hard_to_open, "manifest.json is not a plain file"),
        (directory, "manifest.json is not a plain file"),
        (truncated, "not valid JSON|cannot be trusted"),
        (emptied, "not valid JSON"),
    ],
)
def test_a_folder_without_a_right_manifest_is_no_package(
    folder: Path, harm: Callable[[Path], None], said: str
) -> None:
    path = folder / manifest.NAME
    path.write_bytes(path.read_bytes().rstrip())
    assert reading.is_package(folder)
    harm(path)
    assert not reading.is_package(folder)
    with pytest.raises(CorruptPackage, match=said):
        reading.read(folder)


def test_a_file_is_no_package(folder: Path) -> None:
    assert not reading.is_package(folder / "fp32.onnx")
    with pytest.raises(CorruptPackage, match=r"cannot be opened \(Not a directory\)"):
        reading.read(folder / "fp32.onnx")


def test_a_manifest_that_is_too_large_is_not_read_whole(folder: Path) -> None:
    with (folder / manifest.NAME).open("ab") as file:
        file.truncate(1 << 40)  # takes no space, and no memory has as much
    with pytest.raises(CorruptPackage, match="more than 16 MiB"):
        reading.read(folder)
    assert not reading.is_package(folder)


def test_a_folder_behind_a_link_is_a_package(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert reading.read(tmp_path / "link") == reading.read(folder)


def test_an_interrupted_replacement_is_mended_by_the_reader(folder: Path) -> None:
    package, identity = reading.read(folder), reading.identity(folder)
    folder.rename(reading.previous(folder))
    assert reading.read(folder) == package
    assert reading.identity(folder) == identity
    assert not reading.previous(folder).exists()


def test_what_lies_aside_is_left_alone_where_it_is_not_needed(folder: Path) -> None:
    aside = reading.previous(folder)
    aside.mkdir()
    assert reading.read(folder).name == "tiny"
    assert aside.exists()
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(NotFound):
        reading.read(folder)  # what lies aside is no package


def test_the_identity_is_that_of_the_manifest(folder: Path, written: Written) -> None:
    first = reading.identity(folder)
    written(folder, overwrite=True, fp32=CONTENT)
    assert reading.identity(folder) == first
    written(folder, overwrite=True, fp32=CONTENT[:-1])
    assert reading.identity(folder) != first


def test_a_variants_files_begin_with_its_model() -> None:
    variant = v.Variant(
        "fp32", "model", "fp32.onnx", "fp32", v.GraphFacts(20, 1, 1, {}), files=("b.data",)
    )
    assert reading.files_of(variant) == ("fp32.onnx", "b.data")
