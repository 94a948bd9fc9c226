"""Built once, by whichever process is first, and never used where it could be wrong."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgekit import cache
from edgekit.compiled import building, clearing, scratch
from edgekit.compiled.building import prepared
from edgekit.compiled.keys import CompileKey, Surroundings, place_of

posix = pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX's")
as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away"
)
not_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)

WHERE = Surroundings(
    gpus=("NVIDIA L4, 8.9",),
    driver="580.1",
    cpu="x86_64, A Processor",
    isa=("avx2",),
    libraries={"tensorrt-cu13-libs": "10.16"},
    files={"/usr/lib/libnvinfer.so.10": "libnvinfer.so.10.16.1, 3 bytes"},
    onnxruntime="onnxruntime-gpu 1.31.1",
    edgekit="0.1.0",
)
KEY = CompileKey(
    provider="tensorrt",
    model_sha256="ab" * 32,
    provider_options={"trt_cuda_graph_enable": "1"},
    session_options={},
    graph_level="all",
    where=WHERE,
)
ENGINE = bytes(range(256)) * 400


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Builder:
    """Builds an engine and counts how often."""

    def __init__(self) -> None:
        self.folders: list[Path] = []

    def __call__(self, folder: Path) -> None:
        assert list(folder.iterdir()) == []
        self.folders.append(folder)
        (folder / "a.engine").write_bytes(ENGINE)
        (folder / "more").mkdir()
        (folder / "more" / "b.timing").write_text("fast")


@pytest.fixture
def build() -> Builder:
    return Builder()


def start(build: Callable[[Path], None], key: CompileKey = KEY) -> tuple[bool, bool]:
    """Do what a start of an app does; say whether it built, and whether the next one needn't."""
    with prepared(key, build) as done:
        assert (done.folder / "a.engine").read_bytes() == ENGINE
        assert (done.folder / "more" / "b.timing").read_text() == "fast"
        return done.built, done.kept


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_second_start_takes_what_the_first_built(
    build: Builder, caplog: pytest.LogCaptureFixture
) -> None:
    assert start(build) == (True, True)
    assert start(build) == (False, True)
    assert len(build.folders) == 1
    assert warned(caplog) == []


def test_the_builder_keeps_the_folder_that_it_built_in(build: Builder) -> None:
    with prepared(KEY, build) as done:
        assert done.folder == build.folders[0]
        assert done.build_s > 0
        with prepared(KEY, build) as second:
            assert second.folder != done.folder
            assert second.build_s == pytest.approx(done.build_s, abs=0.001)
    assert not done.folder.exists()
    assert not second.folder.exists()


def test_nothing_but_the_kept_files_is_left_behind(build: Builder) -> None:
    start(build)
    start(build)
    place = place_of(KEY)
    assert files_below(place.parent) == {
        f"{place.name}.lock",
        f"{place.name}/key.json",
        f"{place.name}/files/a.engine",
        f"{place.name}/files/more/b.timing",
    }


def test_a_folder_that_nobody_closes_goes_with_its_owner(build: Builder) -> None:
    done = prepared(KEY, build)
    folder = done.folder
    assert folder.exists()
    del done
    assert not folder.exists()


@posix
def test_everything_is_for_this_user_alone(build: Builder) -> None:
    old = os.umask(0)
    try:
        with prepared(KEY, build) as done:
            made = [done.folder.parent, *cache.folder().glob("compiled/**/*")]
            inside = {done.folder, *done.folder.rglob("*")}
            kept = [path for path in made if path not in inside]
            assert {oct(path.stat().st_mode & 0o077) for path in kept} == {"0o0"}
    finally:
        os.umask(old)


def test_the_key_lies_beside_the_files(build: Builder) -> None:
    prepared(KEY, build, label="cnn · fp32").close()
    record = json.loads((place_of(KEY) / "key.json").read_text())
    assert record["label"] == "cnn · fp32"
    assert record["key"]["where"]["driver"] == "580.1"
    assert record["files"]["a.engine"]["size"] == len(ENGINE)


def changed(field: str, value: object) -> CompileKey:
    if field in CompileKey.__struct_fields__:
        return msgspec.structs.replace(KEY, **{field: value})
    return msgspec.structs.replace(KEY, where=msgspec.structs.replace(WHERE, **{field: value}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("provider", "tensorrt-rtx"),
        ("model_sha256", "ab" * 31 + "ac"),
        ("provider_options", {"trt_cuda_graph_enable": "0"}),
        ("session_options", {"session.set_denormal_as_zero": "1"}),
        ("graph_level", "basic"),
        ("gpus", ("NVIDIA L4, 8.9", "NVIDIA L4, 8.9")),
        ("driver", "580.2"),
        ("cpu", "x86_64, Another"),
        ("isa", ()),
        ("libraries", {"tensorrt-cu13-libs": "10.17"}),
        ("files", {"/usr/lib/libnvinfer.so.10": "libnvinfer.so.10.17.0, 3 bytes"}),
        ("onnxruntime", "onnxruntime-gpu 1.32.0"),
        ("edgekit", "0.2.0"),
    ],
)
def test_another_key_is_built_for_itself(build: Builder, field: str, value: object) -> None:
    start(build)
    assert start(build, changed(field, value)) == (True, True)
    assert start(build, KEY) == (False, True)


def test_a_key_in_anothers_place_is_built_again(
    build: Builder, caplog: pytest.LogCaptureFixture
) -> None:
    other = changed("driver", "555.9")
    start(build, other)
    place_of(other).rename(place_of(KEY))
    assert start(build) == (True, True)
    assert "built for another key (driver 555.9, not 580.1)" in warned(caplog)[0]
    assert start(build) == (False, True)


def corrupt(place: Path) -> str:
    with (place / "files/a.engine").open("r+b") as file:
        file.seek(1000)
        file.write(b"\xff\xff")
    return "a.engine is not the file that was kept"


def grow(place: Path) -> str:
    with (place / "files/a.engine").open("ab") as file:
        file.write(b"more")
    return "a.engine is not the file that was kept"


def lose(place: Path) -> str:
    (place / "files/a.engine").unlink()
    return "a.engine cannot be opened"


def lose_key(place: Path) -> str:
    (place / "key.json").unlink()
    return "key.json cannot be opened"


def spoil_key(place: Path) -> str:
    (place / "key.json").write_text('{"key": 1}')
    return "its key.json cannot be read"


def climb(place: Path) -> str:
    text = (place / "key.json").read_text()
    (place / "key.json").write_text(text.replace("a.engine", "../../a.engine"))
    return "its key.json lists a file '../../a.engine'"


def link_file(place: Path) -> str:
    engine = place / "files/a.engine"
    engine.rename(place / "elsewhere")
    engine.symlink_to(place / "elsewhere")
    return "a.engine cannot be opened"


def link_folder(place: Path) -> str:
    place.rename(place.with_name("elsewhere"))
    place.symlink_to(place.with_name("elsewhere"))
    return f"{place} is a link"


def block(place: Path) -> str:
    (place / "files/a.engine").unlink()
    os.mkfifo(place / "files/a.engine")
    return "a.engine is something else than it should be"


def open_folder(place: Path) -> str:
    place.chmod(0o770)
    return f"{place} can be written by other users (mode 770)"


def open_file(place: Path) -> str:
    (place / "files/a.engine").chmod(0o606)
    return "a.engine can be written by other users (mode 606)"


def be_a_file(place: Path) -> str:
    place.rename(place.with_name("elsewhere"))
    place.write_text("a file")
    return f"{place} is something else than it should be"


SPOILERS = [corrupt, grow, lose, lose_key, spoil_key, climb, be_a_file]
POSIX_SPOILERS = [link_file, link_folder, block, open_folder, open_file]


@pytest.mark.parametrize(
    "spoil", [*SPOILERS, *(pytest.param(spoil, marks=posix) for spoil in POSIX_SPOILERS)]
)
def test_what_was_changed_is_not_used_and_built_again_in_its_place(
    build: Builder, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], str]
) -> None:
    start(build)
    said = spoil(place_of(KEY))
    assert start(build) == (True, True)
    (warning,) = warned(caplog)
    assert warning.startswith("what was built of model abababababab for tensorrt is not used: ")
    assert said in warning
    assert start(build) == (False, True)
    assert len(build.folders) == 2


@as_root
@pytest.mark.parametrize("what", ["files/a.engine", "key.json"])
def test_anothers_file_is_not_used(
    build: Builder, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    start(build)
    os.chown(place_of(KEY) / what, 12345, 12345)
    assert start(build) == (True, True)
    assert "belongs to another user (number 12345)" in warned(caplog)[0]
    assert start(build) == (False, True)


@as_root
@pytest.mark.parametrize("above", [0, 1, 2, 3])
def test_anothers_folder_is_neither_used_nor_touched(
    build: Builder, caplog: pytest.LogCaptureFixture, above: int
) -> None:
    start(build)
    place = place_of(KEY)
    theirs = [place, *place.parents][above]
    os.chown(theirs, 12345, 12345)
    before = files_below(cache.folder())
    assert start(build) == (True, False)
    (warning,) = warned(caplog)
    assert f"{theirs} belongs to another user (number 12345)" in warning
    assert "built for this process alone, and the next start builds it again" in warning
    assert files_below(cache.folder()) == before
    os.chown(theirs, 0, 0)
    assert start(build) == (False, True)


@posix
@pytest.mark.parametrize("above", [1, 2, 3])
def test_a_folder_around_it_that_others_may_write_is_not_used(
    build: Builder, caplog: pytest.LogCaptureFixture, above: int
) -> None:
    start(build)
    folder = [place_of(KEY), *place_of(KEY).parents][above]
    folder.chmod(0o777)
    assert start(build) == (True, False)
    assert f"{folder} can be written by other users (mode 777)" in warned(caplog)[0]
    folder.chmod(0o700)
    assert start(build) == (False, True)


@posix
def test_a_linked_folder_around_it_is_not_used(
    build: Builder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    start(build)
    top = cache.folder() / "compiled"
    top.rename(tmp_path / "elsewhere")
    top.symlink_to(tmp_path / "elsewhere")
    assert start(build) == (True, False)
    assert f"{top} is a link" in warned(caplog)[0]


def test_a_cache_that_cannot_be_written_fails_nothing(
    build: Builder, own_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own_cache.write_text("a file where the cache should be")
    with prepared(KEY, build) as done:
        assert (done.built, done.kept) == (True, False)
        assert (done.folder / "a.engine").read_bytes() == ENGINE
        assert not done.adopt()
    assert not done.folder.exists()
    assert "the cache cannot be written" in warned(caplog)[0]
    assert "the next start builds it again" in warned(caplog)[0]


@pytest.mark.parametrize(
    ("error", "free_bytes"),
    [(OSError(errno.ENOSPC, "No space left on device"), 1 << 40), (RuntimeError("half"), 4096)],
)
def test_a_disk_that_fills_up_while_something_is_built_fails_nothing(
    error: Exception,
    free_bytes: int,
    build: Builder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real = shutil.disk_usage

    def usage(path: Path) -> Any:
        return real(path)._replace(free=free_bytes)

    def fill(folder: Path) -> None:
        build(folder)
        if folder.is_relative_to(cache.folder()):
            raise error

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with prepared(KEY, fill) as done:
        assert (done.built, done.kept) == (True, False)
        assert (done.folder / "a.engine").read_bytes() == ENGINE
    assert len(build.folders) == 2
    assert not any(folder.exists() for folder in build.folders)
    (said,) = warned(caplog)
    assert said.endswith("the next start builds it again: the disk of the cache is full")


@not_root
def test_a_cache_that_can_only_be_read_is_read(build: Builder) -> None:
    start(build)
    model = place_of(KEY).parent
    model.chmod(0o500)
    try:
        assert start(build) == (False, True)
        assert start(build, changed("driver", "1")) == (True, False)
    finally:
        model.chmod(0o700)


def test_what_a_provider_writes_later_stays_its_own(build: Builder) -> None:
    start(build)
    with prepared(KEY, build) as first, prepared(KEY, build) as second:
        (first.folder / "a.engine").write_bytes(b"for another shape")
        assert (second.folder / "a.engine").read_bytes() == ENGINE
    assert start(build) == (False, True)


def test_what_a_provider_writes_later_is_kept_when_it_is_adopted(build: Builder) -> None:
    with prepared(KEY, build) as done:
        assert not done.adopt()
        (done.folder / "late.cache").write_text("written when the session was closed")
        assert done.adopt()
        assert not done.adopt()
    with prepared(KEY, build) as later:
        assert not later.built
        assert "late.cache" in files_below(later.folder)


@pytest.mark.parametrize("how", ["closed", "emptied"])
def test_a_folder_that_is_gone_takes_nothing_with_it(how: str, build: Builder) -> None:
    with prepared(KEY, build) as done:
        done.close() if how == "closed" else shutil.rmtree(done.folder)
        assert not done.adopt()
    assert start(build) == (False, True)


def test_of_two_that_have_something_new_the_first_is_kept(build: Builder) -> None:
    start(build)
    with prepared(KEY, build) as first, prepared(KEY, build) as second:
        (first.folder / "late.cache").write_text("first")
        (second.folder / "late.cache").write_text("second")
        assert first.adopt()
        assert not second.adopt()
    with prepared(KEY, build) as later:
        assert (later.folder / "late.cache").read_text() == "first"


def test_a_builder_that_fails_leaves_nothing_and_the_next_one_builds(build: Builder) -> None:
    def fail(folder: Path) -> None:
        (folder / "a.engine").write_bytes(b"half")
        raise RuntimeError("no memory on the GPU")

    with pytest.raises(RuntimeError, match="no memory on the GPU"):
        prepared(KEY, fail)
    assert files_below(cache.folder()) == {
        place_of(KEY).with_suffix(".lock").relative_to(cache.folder()).as_posix()
    }
    assert start(build) == (True, True)


@posix
def test_a_link_that_a_builder_makes_is_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    def link(folder: Path) -> None:
        (folder / "a.engine").symlink_to("/etc/hostname")

    with prepared(KEY, link) as done:
        assert not done.kept
    assert "a.engine is not a plain file" in warned(caplog)[0]


def test_threads_of_one_process_build_once(build: Builder) -> None:
    def slowly(folder: Path) -> None:
        time.sleep(0.2)
        build(folder)

    found: list[bool] = []
    threads = [threading.Thread(target=lambda: found.append(start(slowly)[0])) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [False] * 5 + [True]


def test_a_hung_builder_holds_nobody_for_longer_than_asked(
    build: Builder, caplog: pytest.LogCaptureFixture
) -> None:
    start(build, changed("driver", "1"))  # makes the model's folder
    lock = place_of(KEY).with_suffix(".lock")
    with scratch.locked(lock), prepared(KEY, build, wall_s=0.2) as done:
        assert (done.built, done.kept) == (True, False)
    assert "another process has been building it for 0.2 s" in warned(caplog)[0]
    assert start(build) == (True, True)


def test_where_no_file_can_be_locked_nothing_is_kept_and_nothing_fails(
    build: Builder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = prepared(KEY, build)

    def refuse(*_: object, **__: object) -> None:
        raise NotImplementedError("use SoftFileLock instead")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    assert start(build, changed("driver", "1")) == (True, False)
    assert "no file can be locked there" in warned(caplog)[0]
    (kept.folder / "later").write_bytes(b"x")
    assert not kept.adopt()
    kept.close()
    assert clearing.clear().compiled != ()


def test_a_lock_that_cannot_be_made_is_not_waited_for(
    build: Builder, caplog: pytest.LogCaptureFixture
) -> None:
    start(build, changed("driver", "1"))
    place_of(KEY).with_suffix(".lock").mkdir()
    assert start(build) == (True, False)
    assert "the cache cannot be locked: " in warned(caplog)[0]


def test_progress_is_told_until_the_end_and_not_after(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(building, "_TOLD_EVERY_S", 0.05)
    caplog.set_level(logging.INFO, logger="edgekit")

    def slowly(folder: Path) -> None:
        deadline = time.monotonic() + 20
        while len(caplog.records) < 4 and time.monotonic() < deadline:
            time.sleep(0.02)

    with prepared(KEY, slowly, label="cnn · fp32"):
        lines = [record.getMessage() for record in caplog.records]
        assert lines[0] == "building cnn · fp32 for tensorrt for the first time"
        told = lines[1:-1]
        assert len(told) >= 3
        pattern = r"building cnn · fp32 for tensorrt for the first time; \d+ s so far"
        assert all(re.fullmatch(pattern, line) for line in told)
        assert re.fullmatch(r"built cnn · fp32 for tensorrt in \d+\.\d s", lines[-1])
        time.sleep(0.2)
        assert len(caplog.records) == len(lines)


CHILD = """
import os, sys, time
from pathlib import Path
from edgekit.compiled.building import prepared
from edgekit.compiled.keys import CompileKey
import msgspec

key = msgspec.json.decode(sys.argv[1], type=CompileKey)
log, wait_s = Path(sys.argv[2]), float(sys.argv[3])

def build(folder):
    with log.open("a") as file:
        file.write(f"{os.getpid()}\\n")
    (folder / "a.engine").write_bytes(b"half")
    time.sleep(wait_s)
    (folder / "a.engine").write_bytes(bytes(range(256)) * 400)

with prepared(key, build) as done:
    assert (done.folder / "a.engine").read_bytes() == bytes(range(256)) * 400
    print("built" if done.built else "taken")
"""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Callable[[float], subprocess.Popen[str]]]:
    """Start a process that prepares `KEY`; it writes its number into `builders` as it builds."""
    started: list[subprocess.Popen[str]] = []

    def begin(wait_s: float) -> subprocess.Popen[str]:
        code = [sys.executable, "-c", CHILD, msgspec.json.encode(KEY).decode()]
        process = subprocess.Popen(
            [*code, str(tmp_path / "builders"), str(wait_s)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_fifty_processes_build_once(
    child: Callable[[float], subprocess.Popen[str]], tmp_path: Path
) -> None:
    processes = [child(0.5) for _ in range(50)]
    said = [process.communicate(timeout=90) for process in processes]
    assert {error for _, error in said} == {""}
    assert sorted(out.strip() for out, _ in said) == ["built"] + ["taken"] * 49
    assert len((tmp_path / "builders").read_text().split()) == 1


def test_a_killed_builder_leaves_nothing_that_is_used(
    child: Callable[[float], subprocess.Popen[str]], tmp_path: Path, build: Builder
) -> None:
    process = child(60)
    deadline = time.monotonic() + 60
    while not list(cache.folder().rglob("a.engine")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait()
    (left,) = place_of(KEY).parent.glob(".*.scratch")
    assert (left / "files" / "a.engine").exists()
    assert start(build) == (True, True)
    # It might be somebody's who has only just made it.
    assert left.exists()
    os.utime(left, (time.time() - 3600,) * 2)
    assert start(build) == (False, True)
    assert not left.exists()
    assert files_below(place_of(KEY).parent) == {
        f"{place_of(KEY).name}{rest}"
        for rest in (".lock", "/key.json", "/files/a.engine", "/files/more/b.timing")
    }


def test_a_living_builder_is_not_swept(build: Builder) -> None:
    with prepared(KEY, build) as done:
        os.utime(done.folder.parent, (time.time() - 3600,) * 2)
        start(build)
        assert (done.folder / "a.engine").exists()
        assert scratch.sweep(place_of(KEY).parent) == 0
