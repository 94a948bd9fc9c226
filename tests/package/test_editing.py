"""Edits of one package by several processes: one after the other, and none is lost."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgekit.errors import CorruptPackage, NotFound, StorageError
from edgekit.package import commit, reading
from edgekit.package.editing import edit
from edgekit.package.locking import LOCK, editing_lock
from edgekit.package.values import Package, Recipe, Target

Written = Callable[..., Package]
Contents = Mapping[str, bytes | Path]
PROJECT = Path(__file__).parents[2]


def adding(name: str, content: bytes | Path) -> Callable[[Package], tuple[Package, Contents]]:
    def change(package: Package) -> tuple[Package, Contents]:
        variant = msgspec.structs.replace(
            package.variants[0], name=name, model=f"{name}.onnx", parent=package.variants[0].name
        )
        edited = msgspec.structs.replace(package, variants=(*package.variants, variant))
        return edited, {f"{name}.onnx": content}

    return change


def names(folder: Path) -> list[str]:
    return [variant.name for variant in reading.read(folder).variants]


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@contextlib.contextmanager
def child(code: str, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run Python code in a process of its own, which is gone afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


HOLD = """
    import sys, time
    from pathlib import Path
    from edgekit.package.editing import edit
    def change(package):
        print("inside", flush=True)
        sys.stdin.readline()
        return package, {}
    edit(Path(sys.argv[1]), change)
    print("done", flush=True)
"""

ADD = """
    import sys
    from pathlib import Path
    import msgspec
    from edgekit.package.editing import edit
    folder, mine = Path(sys.argv[1]), sys.argv[2]
    def adding(name):
        def change(package):
            variant = msgspec.structs.replace(
                package.variants[0], name=name, model=f"{name}.onnx", parent="fp32")
            edited = msgspec.structs.replace(package, variants=(*package.variants, variant))
            return edited, {f"{name}.onnx": name.encode() * 1000}
        return change
    for number in range(12):
        edit(folder, adding(f"{mine}{number}"))
"""


def test_an_edit_adds_a_variant_and_its_file(tmp_path: Path, written: Written) -> None:
    folder = tmp_path / "net.edgekit"
    written(folder, fp32=b"old")
    (tmp_path / "made.onnx").write_bytes(b"from a file")
    edited = edit(folder, adding("fp16", tmp_path / "made.onnx"))
    edited = edit(folder, adding("int8", b"bytes"))
    assert edited == reading.read(folder)
    assert names(folder) == ["fp32", "fp16", "int8"]
    assert (folder / "fp16.onnx").read_bytes() == b"from a file"
    assert (tmp_path / "made.onnx").read_bytes() == b"from a file"
    for name, record in edited.files.items():
        reading.open_verified(folder, name, record)
    assert hidden(folder) == [LOCK]


def test_a_recipe_and_a_target_are_read_as_they_were_written(
    tmp_path: Path, written: Written
) -> None:
    folder = tmp_path / "net.edgekit"
    written(folder, fp32=b"old")
    recipe = Recipe("fp16", ("MatMul:y",))
    target = Target("cuda", "CUDAExecutionProvider")

    def change(package: Package) -> tuple[Package, Contents]:
        edited, contents = adding("fp16", b"new")(package)
        variant = msgspec.structs.replace(edited.variants[1], recipe=recipe, target=target)
        variants = (edited.variants[0], variant)
        return msgspec.structs.replace(edited, variants=variants), contents

    edit(folder, change)
    first, second = reading.read(folder).variants
    assert (first.recipe, first.parent) == (None, None)
    assert (second.recipe, second.parent, second.target) == (recipe, "fp32", target)


def test_processes_that_edit_one_package_lose_nothing(tmp_path: Path, written: Written) -> None:
    folder = tmp_path / "net.edgekit"
    written(folder, fp32=b"old")
    with contextlib.ExitStack() as stack:
        editors = [stack.enter_context(child(ADD, folder, name)) for name in ("a", "b", "c")]
        while any(editor.poll() is None for editor in editors):
            assert names(folder)[0] == "fp32"
        for editor in editors:
            assert editor.communicate()[1] == ""
            assert editor.returncode == 0
    expected = {f"{name}{number}" for name in "abc" for number in range(12)}
    assert set(names(folder)) == {"fp32", *expected}
    package = reading.read(folder)
    for variant in package.variants[1:]:
        opened = reading.open_verified(folder, variant.model, package.files[variant.model])
        assert opened.content == variant.name.encode() * 1000
    assert hidden(folder) == [LOCK]


def test_an_error_in_a_change_leaves_the_package_as_it_was(
    tmp_path: Path, written: Written
) -> None:
    folder = tmp_path / "net.edgekit"
    written(folder, fp32=b"old")
    before = (folder / "manifest.json").read_bytes()

    def change(package: Package) -> tuple[Package, Contents]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        edit(folder, change)
    with pytest.raises(FileNotFoundError):
        edit(folder, adding("fp16", tmp_path / "missing.onnx"))
    with pytest.raises(CorruptPackage, match="reserved"):
        edit(folder, adding("tuned", tmp_path / __file__))
    assert (folder / "manifest.json").read_bytes() == before
    assert hidden(folder) == [LOCK]
    edit(folder, adding("fp16", b"new"))
    assert names(folder) == ["fp32", "fp16"]


def test_a_killed_editor_leaves_the_package_and_its_lock_free(
    tmp_path: Path, written: Written
) -> None:
    folder = tmp_path / "net.edgekit"
    written(folder, fp32=b"old")
    with child(HOLD, folder) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "inside\n"
        with pytest.raises(StorageError, match=r"changing it for more than 0\.2 s"):
            edit(folder, adding("fp16", b"new"), wait_s=0.2)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    (folder / ".fp16.onnx.0a1b2c3d.partial").write_bytes(b"what a killed editor leaves")
    edit(folder, adding("fp16", b"new"), wait_s=5)
    assert names(folder) == ["fp32", "fp16"]
    assert hidden(folder) == [LOCK]


def test_an_edit_waits_for_another(tmp_path: Path, written: Written) -> None:
    folder = tmp_path / "net.edgekit"
    written(folder, fp32=b"old")
    with child(HOLD, folder) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "inside\n"
        waiting = threading.Thread(target=edit, args=(folder, adding("fp16", b"new")))
        waiting.start()
        time.sleep(0.2)
        assert names(folder) == ["fp32"]
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "done\n"
        waiting.join(timeout=30)
    assert names(folder) == ["fp32", "fp16"]


def test_a_package_is_not_replaced_in_the_middle_of_an_edit(
    tmp_path: Path, written: Written
) -> None:
    folder = tmp_path / "net.edgekit"
    written(folder, fp32=b"old")
    with child(HOLD, folder) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "inside\n"
        replacing = threading.Thread(
            target=written, args=(folder,), kwargs={"overwrite": True, "fp32": b"new"}
        )
        replacing.start()
        time.sleep(0.3)
        assert (folder / "fp32.onnx").read_bytes() == b"old"
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "done\n"
        replacing.join(timeout=30)
    assert (folder / "fp32.onnx").read_bytes() == b"new"


def test_an_edit_that_waited_changes_the_package_that_is_there_now(
    tmp_path: Path, written: Written
) -> None:
    """Whoever waits for the lock of a package that is replaced meanwhile takes the new one's."""
    old, new, link = tmp_path / "old.edgekit", tmp_path / "new.edgekit", tmp_path / "net.edgekit"
    written(old, fp32=b"old")
    written(new, fp32=b"another", more=b"one")
    link.symlink_to(old)  # what a link leads to can be changed in one step
    with editing_lock(link):
        waiting = threading.Thread(target=edit, args=(link, adding("fp16", b"new")))
        waiting.start()
        time.sleep(0.2)
        (tmp_path / "another").symlink_to(new)
        (tmp_path / "another").replace(link)
    waiting.join(timeout=30)
    assert names(new) == ["fp32", "more", "fp16"]
    assert names(old) == ["fp32"]


def test_where_no_lock_can_be_made_it_is_said(tmp_path: Path, written: Written) -> None:
    folder = tmp_path / "net.edgekit"
    written(folder, fp32=b"old")
    (folder / LOCK).mkdir()
    with pytest.raises(StorageError, match=r"its \.editing\.lock is not a plain file"):
        edit(folder, adding("fp16", b"new"))
    (folder / LOCK).rmdir()
    (folder / LOCK).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match=r"its \.editing\.lock is not a plain file"):
        edit(folder, adding("fp16", b"new"))
    assert not (tmp_path / "elsewhere").exists()
    assert names(folder) == ["fp32"]


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="root writes where nobody else may"
)
def test_a_read_only_package_is_not_edited(tmp_path: Path, written: Written) -> None:
    folder = tmp_path / "net.edgekit"
    written(folder, fp32=b"old")
    folder.chmod(0o555)
    try:
        with pytest.raises(StorageError, match="permission was denied"):
            edit(folder, adding("fp16", b"new"))
        written(folder, overwrite=True, fp32=b"new")
    finally:
        folder.chmod(0o755)
    assert (folder / "fp32.onnx").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("refusal", "said"),
    [(errno.EROFS, "the file system is read-only"), (errno.EACCES, "permission was denied")],
)
def test_where_nothing_may_be_written_it_is_said_at_once(
    refusal: int, said: str, tmp_path: Path, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "net.edgekit"
    written(folder, fp32=b"old")
    opening = os.open

    def refuse(path: Any, *arguments: Any, **named: Any) -> int:
        if Path(path).name == LOCK:
            raise OSError(refusal, os.strerror(refusal))
        return opening(path, *arguments, **named)

    monkeypatch.setattr(os, "open", refuse)
    began = time.monotonic()
    with pytest.raises(StorageError, match=rf"net\.edgekit could not be written: {said}"):
        edit(folder, adding("fp16", b"new"))
    assert time.monotonic() - began < 30  # and not after the minute that a lock is waited for
    assert names(folder) == ["fp32"]


def test_what_is_no_package_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        edit(tmp_path / "missing.edgekit", adding("fp16", b"new"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(CorruptPackage):
        edit(tmp_path / "folder", adding("fp16", b"new"))
    assert list((tmp_path / "folder").iterdir()) == []
    with pytest.raises(NotFound), editing_lock(tmp_path / "missing.edgekit"):
        raise AssertionError("there is nothing to hold")


def test_a_full_disk_leaves_the_package_as_it_was(
    tmp_path: Path, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "net.edgekit"
    written(folder, fp32=b"old")
    (tmp_path / "made.onnx").write_bytes(b"new")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", refuse)
    with pytest.raises(StorageError, match=r"net\.edgekit could not be written: the disk is full"):
        edit(folder, adding("fp16", tmp_path / "made.onnx"))
    assert names(folder) == ["fp32"]
    assert hidden(folder) == [LOCK]


def test_a_commit_hashes_what_it_takes_over(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    assert commit.record_of(tmp_path / "a") == commit.record_of(b"content")
