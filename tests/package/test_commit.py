"""Whatever happens while a package is written, the old one or the new one can be opened."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgekit.errors import CorruptPackage, StorageError, WouldOverwrite
from edgekit.package import commit, manifest, reading
from edgekit.package import values as v

MakePackage = Callable[..., v.Package]
Written = Callable[..., v.Package]

STEPS = ((os, "fsync"), (Path, "rename"), (Path, "replace"), (Path, "unlink"), (Path, "mkdir"))


class Crash(BaseException):
    """Stands for the end of the process: nothing may catch it and go on."""


@contextmanager
def crash_at(step: int) -> Iterator[list[str]]:
    """Let the n-th step that changes the disk, and every one after it, not happen."""
    steps: list[str] = []
    with pytest.MonkeyPatch.context() as patch:

        def patched(owner: Any, name: str) -> Callable[..., Any]:
            real = getattr(owner, name)

            def call(*arguments: Any, **options: Any) -> Any:
                steps.append(name)
                if len(steps) > step:
                    raise Crash(name)
                return real(*arguments, **options)

            return call

        for owner, name in STEPS:
            patch.setattr(owner, name, patched(owner, name))
        swap = commit._swap
        rmtree = shutil.rmtree

        def swapped(one: Path, other: Path) -> bool:
            steps.append("swap")
            if len(steps) > step:
                raise Crash("swap")
            return swap(one, other)

        def removed(path: Path, ignore_errors: bool = False) -> None:
            steps.append("rmtree")
            if len(steps) > step:
                raise Crash("rmtree")
            with pytest.MonkeyPatch.context() as inner:
                inner.setattr(Path, "unlink", lambda *_: None)
                rmtree(path, ignore_errors=ignore_errors)

        patch.setattr(commit, "_swap", swapped)
        patch.setattr(shutil, "rmtree", removed)
        yield steps


def content_of(folder: Path) -> dict[str, bytes]:
    """Open every file of the package as a reader does."""
    package = reading.read(folder)
    found: dict[str, bytes] = {}
    for name, record in package.files.items():
        content = reading.open_verified(folder, name, record).content
        assert content is not None
        found[name] = content
    assert set(manifest.referenced_files(package)) == found.keys()
    return found


def left_beside(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.parent.iterdir() if entry != folder)


def steps_of(action: Callable[[], object]) -> int:
    with crash_at(10_000) as steps:
        action()
    assert len(steps) > 3
    return len(steps)


@pytest.mark.parametrize("swapping", [True, False], ids=["one step", "two renames"])
def test_a_crash_while_a_package_is_replaced_leaves_the_old_or_the_new(
    tmp_path: Path, written: Written, swapping: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not swapping:
        monkeypatch.setattr(commit, "_swap", lambda *_: False)
    folder = tmp_path / "net.edgekit"
    old, new = {"fp32.onnx": b"old"}, {"fp32.onnx": b"new", "int8.onnx": b"more"}
    written(folder, fp32=b"old")
    steps = steps_of(lambda: written(folder, overwrite=True, fp32=b"new", int8=b"more"))
    seen = []
    for step in range(steps):
        written(folder, overwrite=True, fp32=b"old")
        with crash_at(step), pytest.raises(Crash):
            written(folder, overwrite=True, fp32=b"new", int8=b"more")
        seen.append(content_of(folder))
        assert seen[-1] in (old, new), step
    assert old in seen
    gc.collect()  # a process that ends gives its locks back; this one goes on (Python 3.13)
    written(folder, overwrite=True, fp32=b"last")
    assert content_of(folder) == {"fp32.onnx": b"last"}
    assert left_beside(folder) == []


def test_a_crash_while_a_package_is_edited_leaves_the_old_or_the_new(
    tmp_path: Path, make_package: MakePackage, written: Written
) -> None:
    """The edit drops one variant, adds one, and changes the content of a third."""
    folder = tmp_path / "net.edgekit"
    old = {"fp32.onnx": b"old", "gone.onnx": b"gone"}

    def edit() -> None:
        package = reading.read(folder)
        edited = msgspec.structs.replace(make_package("fp32", "int8"), files=dict(package.files))
        commit.commit(folder, edited, {"fp32.onnx": b"new", "int8.onnx": b"more"})

    written(folder, fp32=b"old", gone=b"gone")
    steps = steps_of(edit)
    new = content_of(folder)
    assert sorted(new.values()) == [b"more", b"new"]
    seen = []
    for step in range(steps):
        written(folder, overwrite=True, fp32=b"old", gone=b"gone")
        with crash_at(step), pytest.raises(Crash):
            edit()
        seen.append(content_of(folder))
        assert seen[-1] in (old, new), step
        edit()  # again, and it comes to its end
        assert sorted(content_of(folder).values()) == [b"more", b"new"]
        left = {entry.name for entry in folder.iterdir()} - {*content_of(folder), manifest.NAME}
        # Once the new manifest stands nothing tells an old file from one that the user put there.
        assert left == set() if seen[-1] == old else left <= old.keys()
    assert old in seen
    assert new in seen


def test_a_taken_name_gets_eight_digits_of_the_new_hash(
    tmp_path: Path, make_package: MakePackage, written: Written
) -> None:
    folder = tmp_path / "net.edgekit"
    first = written(folder, fp32=b"old", int8=b"same")
    (folder / "notes.txt").write_text("a user's")
    edited = commit.commit(folder, first, {"fp32.onnx": b"new", "int8.onnx": b"same"})
    digits = edited.files[edited.variants[0].model].sha256[:8]
    assert edited.variants[0].model == f"fp32.{digits}.onnx"
    assert edited.variants[1] == first.variants[1]
    assert reading.read(folder) == edited
    assert content_of(folder) == {f"fp32.{digits}.onnx": b"new", "int8.onnx": b"same"}
    assert not (folder / "fp32.onnx").exists()
    assert (folder / "notes.txt").exists()


def test_a_file_that_is_there_is_taken_over(tmp_path: Path, make_package: MakePackage) -> None:
    folder = tmp_path / "net.edgekit"
    with commit.new_package(folder) as partial:
        (partial / "from-torch").write_bytes(b"large")
        commit.commit(partial, make_package("fp32"), {"fp32.onnx": partial / "from-torch"})
    assert content_of(folder) == {"fp32.onnx": b"large"}
    assert sorted(entry.name for entry in folder.iterdir()) == ["fp32.onnx", "manifest.json"]


def test_a_package_that_nobody_could_read_is_not_written(
    tmp_path: Path, make_package: MakePackage
) -> None:
    folder = tmp_path / "net.edgekit"
    for package, contents in (
        (make_package("fp32"), {}),
        (make_package("my net"), {"my net.onnx": b"a name with a space"}),
        (make_package("portable"), {"portable.onnx": b"a reserved name"}),
        (make_package(), {}),
    ):
        with pytest.raises(CorruptPackage), commit.new_package(folder) as partial:
            commit.commit(partial, package, contents)
        assert list(tmp_path.iterdir()) == []


def test_what_goes_wrong_in_the_block_leaves_what_was_there(
    tmp_path: Path, written: Written
) -> None:
    folder = tmp_path / "net.edgekit"
    for error in (KeyboardInterrupt, ValueError):
        with pytest.raises(error), commit.new_package(folder) as partial:  # noqa: PT012
            (partial / "fp32.onnx").write_bytes(b"half")
            raise error
        assert list(tmp_path.iterdir()) == []
    written(folder, fp32=b"old")
    with pytest.raises(KeyboardInterrupt), commit.new_package(folder, overwrite=True):
        raise KeyboardInterrupt
    assert content_of(folder) == {"fp32.onnx": b"old"}
    assert left_beside(folder) == []


def test_only_a_package_is_ever_overwritten(tmp_path: Path, written: Written) -> None:
    package = tmp_path / "net.edgekit"
    written(package, fp32=b"old")
    (tmp_path / "file").write_text("a file")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("years of work")
    for name, text in (("web", '{"name": "edgekit"}'), ("torn", '{"additional_metadata": {"edg')):
        (tmp_path / name).mkdir()
        (tmp_path / name / manifest.NAME).write_text(text)
    (tmp_path / "link").symlink_to(package)
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    before = sorted(tmp_path.rglob("*"))
    for name in ("file", "folder", "web", "torn", "link", "dangling"):
        with pytest.raises(WouldOverwrite, match="is not a model package, so it is never replaced"):
            written(tmp_path / name, overwrite=True, fp32=b"new")
    with pytest.raises(WouldOverwrite, match="Add --overwrite to replace it"):
        written(package, fp32=b"new")
    assert sorted(tmp_path.rglob("*")) == before
    assert content_of(package) == {"fp32.onnx": b"old"}


def test_what_came_into_the_way_meanwhile_is_not_replaced(tmp_path: Path, written: Written) -> None:
    folder = tmp_path / "net.edgekit"
    for overwrite in (False, True):
        with pytest.raises(WouldOverwrite), commit.new_package(folder, overwrite=overwrite):  # noqa: PT012
            folder.mkdir(exist_ok=True)
            (folder / "thesis.tex").write_text("years of work")
        assert (folder / "thesis.tex").exists()
        assert left_beside(folder) == []


def test_a_package_that_a_reader_could_put_back_counts_as_there(
    tmp_path: Path, written: Written
) -> None:
    folder = tmp_path / "net.edgekit"
    written(folder, fp32=b"old")
    folder.rename(reading.previous(folder))
    with pytest.raises(WouldOverwrite):
        written(folder, fp32=b"new")
    assert content_of(folder) == {"fp32.onnx": b"old"}


def test_leftovers_of_killed_exports_go_and_living_ones_stay(
    tmp_path: Path, written: Written, fresh_python: Callable[[str], str]
) -> None:
    folder = tmp_path / "net [1].edgekit"
    other = tmp_path / ".other.edgekit.0123abcd.partial"
    other.mkdir()
    fresh_python(
        textwrap.dedent(f"""
        import os
        from pathlib import Path
        from edgekit.package import commit
        if os.fork() == 0:
            with commit.new_package(Path({str(folder)!r})) as partial:
                (partial / "fp32.onnx").write_bytes(b"half")
                os._exit(9)
        os.wait()
    """)
    )
    assert len(list(tmp_path.glob(".net*.partial"))) == 1
    with commit.new_package(folder) as living:
        assert [entry.name for entry in tmp_path.glob(".net*.partial")] == [living.name]
        with pytest.raises(ValueError, match="stop"), commit.new_package(folder):
            raise ValueError("stop")
        assert living.is_dir()
    assert left_beside(folder) == [other.name]


@pytest.mark.skipif(os.name != "posix", reason="limits on a process's files are POSIX's")
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path, written: Written) -> None:
    folder = tmp_path / "net.edgekit"
    written(folder, fp32=b"old")
    code = textwrap.dedent(f"""
        import resource, sys
        from pathlib import Path
        import msgspec
        from edgekit.errors import StorageError
        from edgekit.package import commit, reading
        folder = Path({str(folder)!r})
        package = reading.read(folder)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        for attempt in ("replace", "edit"):
            try:
                if attempt == "replace":
                    with commit.new_package(folder, overwrite=True) as partial:
                        commit.commit(partial, package, {{"fp32.onnx": bytes(20_000)}})
                else:
                    commit.commit(folder, package, {{"fp32.onnx": bytes(20_000)}})
            except StorageError as error:
                print(error)
    """)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    sentences = done.stdout.splitlines()
    assert len(sentences) == 2
    for sentence in sentences:
        assert sentence.endswith(
            "could not be written: a file would be larger than is allowed here."
        )
    assert content_of(folder) == {"fp32.onnx": b"old"}
    assert sorted(entry.name for entry in folder.iterdir()) == ["fp32.onnx", "manifest.json"]
    assert left_beside(folder) == []


@pytest.mark.parametrize("refusal", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_every_refusal_to_write_is_a_storage_error(
    tmp_path: Path, written: Written, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(refusal, os.strerror(refusal))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match=r"net.edgekit could not be written: the (disk|file)"):
        written(tmp_path / "net.edgekit", fp32=b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_is_a_storage_error(tmp_path: Path, written: Written) -> None:
    (tmp_path / "file").write_text("a file")
    for parent in ("file", "file/deeper"):
        with pytest.raises(StorageError, match="a part of the path is a file and not a folder"):
            written(tmp_path / parent / "net.edgekit", fp32=b"new")
    with pytest.raises(StorageError, match="the name is too long"):
        written(tmp_path / ("n" * 250), fp32=b"new")


def test_processes_that_write_one_package_at_a_time_leave_a_whole_one(tmp_path: Path) -> None:
    """Two processes replace a package over and over, while this one reads it."""
    folder = tmp_path / "net.edgekit"
    code = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from edgekit.package import commit, values as v
        from edgekit.tensors import Signature
        folder, mine = Path({str(folder)!r}), sys.argv[1].encode()
        facts = v.GraphFacts(20, 1, 1, {{}})
        package = v.Package(
            name="tiny", graphs=(v.Graph("model", Signature((), ())),),
            variants=(v.Variant("fp32", "model", "fp32.onnx", "fp32", facts),),
            provenance=v.Provenance("tiny", "pytorch", "dynamo", "0" * 64), files={{}},
        )
        for _ in range(60):
            with commit.new_package(folder, overwrite=True) as partial:
                commit.commit(partial, package, {{"fp32.onnx": mine * 1000}})
    """)
    writers = [
        subprocess.Popen([sys.executable, "-c", code, name], stderr=subprocess.PIPE, text=True)
        for name in "ab"
    ]
    reads = 0
    while any(writer.poll() is None for writer in writers):
        if folder.exists():
            package = reading.read(folder)
            reads += 1
            assert package.name == "tiny"
    for writer in writers:
        assert writer.communicate(timeout=60)[1] == ""
        assert writer.returncode == 0
    assert reads > 0
    assert content_of(folder)["fp32.onnx"] in (b"a" * 1000, b"b" * 1000)
    assert left_beside(folder) == []


def test_folders_that_were_made_for_nothing_go_again(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(ValueError, match="no"), commit.new_package(tmp_path / "mine/a/b/net"):
        raise ValueError("no")
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]
