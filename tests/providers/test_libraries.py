"""Missing and wrong shared libraries, with real files that the system's loader opens or refuses."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import onnxruntime
import pytest

from edgekit import hardware
from edgekit.providers import libraries
from edgekit.providers.info import Library
from edgekit.providers.libraries import Missing

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the loader is that of Linux")

_MACHINES = {"x86_64": (62, 6), "aarch64": (183, 1025)}
_PAGE = 0x10000
OTHER = {"x86_64": "aarch64", "aarch64": "x86_64"}


def shared_object(
    soname: str,
    *,
    needed: tuple[str, ...] = (),
    undefined: str = "",
    runpath: str = "",
    arch: str | None = None,
) -> bytes:
    """Write the smallest shared library that a loader takes, so that no compiler is needed.

    One segment holds all of it: header, program headers, symbols, hash table, one relocation,
    dynamic section, texts. `undefined` is a symbol that somebody else must bring.
    """
    machine, data_relocation = _MACHINES[arch or hardware.platform_names()[0]]
    texts = b"\0"

    def text(said: str) -> int:
        nonlocal texts
        at = len(texts)
        texts += said.encode() + b"\0"
        return at

    symbols_at = 64 + 3 * 56
    symbols = bytes(24)
    if undefined:  # a global object without a section: bound when the library is opened
        symbols += struct.pack("<IBBHQQ", text(undefined), 0x11, 0, 0, 0, 0)
    count = len(symbols) // 24
    hash_at = symbols_at + len(symbols)
    hashes = struct.pack(f"<{3 + count}I", 1, count, count - 1, *([0] * count))
    hashes += bytes(-len(hashes) % 8)
    slot_at = hash_at + len(hashes)  # where the loader writes the symbol's address
    relocation_at = slot_at + 8
    relocation = struct.pack("<QQq", slot_at, (1 << 32) | data_relocation, 0) if undefined else b""
    dynamic_at = relocation_at + len(relocation)

    entries = [(1, text(name)) for name in needed] + [(14, text(soname))]
    if runpath:
        entries.append((29, text(runpath)))
    if undefined:
        entries += [(7, relocation_at), (8, 24), (9, 24)]
    entries += [(4, hash_at), (6, symbols_at), (11, 24), (10, len(texts))]
    texts_at = dynamic_at + 16 * (len(entries) + 2)
    entries += [(5, texts_at), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in entries)
    size = texts_at + len(texts)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(b"\x7fELF\x02\x01\x01", 3, machine, 1, 0, 64, 0, 0, 64, 56, 3, 0, 0, 0),
    )
    segments = [
        (1, 6, 0, 0, 0, size, size, _PAGE),  # all of it, writable: the loader relocates in place
        (2, 6, dynamic_at, dynamic_at, dynamic_at, len(dynamic), len(dynamic), 8),
        (0x6474E551, 6, 0, 0, 0, 0, 0, 16),  # no stack that could be executed
    ]
    programs = b"".join(struct.pack("<IIQQQQQQ", *segment) for segment in segments)
    return header + programs + symbols + hashes + bytes(8) + relocation + dynamic + texts


class Site:
    """A Python environment's folder on `sys.path`, with libraries in its packages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # A process keeps what it loaded, and by name: each test has names of its own.
        self.name = "lib" + hashlib.sha256(str(folder).encode()).hexdigest()[:12]
        self.providers = 0

    def put(self, file: str, content: bytes) -> Path:
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def library(self, file: str, *, needed: tuple[str, ...] = (), arch: str | None = None) -> Path:
        soname = file.rpartition("/")[2]
        return self.put(file, shared_object(soname, needed=needed, arch=arch))

    def provider(self, *needed: str, undefined: str = "", runpath: str = "") -> Path:
        made = shared_object("", needed=needed, undefined=undefined, runpath=runpath)
        self.providers += 1
        return self.put(f"onnxruntime/capi/{self.name}_provider{self.providers}.so", made)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return Site(tmp_path / "site")


def is_loaded(soname: str) -> bool:
    try:
        ctypes.CDLL(soname)
    except OSError:
        return False
    return True


def test_what_packages_bring_is_found_and_left_loaded(site: Site) -> None:
    site.library(f"nvidia/cu13/lib/{site.name}.so.13")
    provider = site.provider(f"{site.name}.so.13", "libc.so.6")
    assert libraries.missing(provider, (Library(f"{site.name}.so", "13"),)) == ()
    assert is_loaded(f"{site.name}.so.13")


def test_without_loading_the_same_is_found_and_nothing_loaded(site: Site) -> None:
    site.library(f"nvidia/cu13/lib/{site.name}.so.13")
    provider = site.provider(f"{site.name}.so.13")
    assert libraries.missing(provider, (), load=False) == ()
    assert not is_loaded(f"{site.name}.so.13")


@pytest.mark.parametrize("load", [True, False])
def test_every_missing_library_is_named_with_what_brings_it(site: Site, load: bool) -> None:
    known = (Library(f"{site.name}a.so", "9", "some-package"), Library(f"{site.name}b.so", "1"))
    provider = site.provider(f"{site.name}a.so.9", f"{site.name}c.so.2")
    missed = libraries.missing(provider, known, load=load)
    assert [one.asked for one in missed] == [
        f"{site.name}a.so.9",
        f"{site.name}b.so.1",
        f"{site.name}c.so.2",
    ]
    assert [one.distribution for one in missed] == ["some-package", "", ""]
    assert libraries.in_words(missed) == (
        f"{site.name}a.so.9, {site.name}b.so.1 and {site.name}c.so.2 cannot be found",
    )


@pytest.mark.parametrize("load", [True, False])
def test_another_version_is_named_with_its_path(site: Site, load: bool) -> None:
    other = site.library(f"tensorrt_libs/{site.name}.so.11")
    (missed,) = libraries.missing(site.provider(f"{site.name}.so.10"), (), load=load)
    assert missed == Missing(f"{site.name}.so.10", instead=(str(other),))
    (said,) = libraries.in_words((missed,))
    assert said == f"{site.name}.so.10 is asked for and cannot be found, only {other}"


def test_the_version_asked_is_that_of_the_provider_and_not_of_the_table(site: Site) -> None:
    site.library(f"nvidia/cu12/lib/{site.name}.so.12")
    assert libraries.missing(site.provider(f"{site.name}.so.12"), (), load=False) == ()


def test_a_library_that_misses_one_itself_is_told_apart(site: Site) -> None:
    path = site.library(f"nvidia/cudnn/lib/{site.name}.so.9", needed=(f"{site.name}x.so.1",))
    (missed,) = libraries.missing(site.provider(f"{site.name}.so.9"), ())
    assert missed.file == str(path)
    assert missed.problem == f"it needs {site.name}x.so.1, which cannot be found"
    assert libraries.in_words((missed,)) == (
        f"{site.name}.so.9 cannot be loaded: {missed.problem} ({path})",
    )


def test_a_library_for_another_processor_is_told_apart(site: Site) -> None:
    here = hardware.platform_names()[0]
    site.library(f"nvidia/cu13/lib/{site.name}.so.13", arch=OTHER[here])
    (missed,) = libraries.missing(site.provider(f"{site.name}.so.13"), ())
    assert missed.problem == f"it is for {OTHER[here]} and this is {here}"


def test_a_part_of_a_library_is_told_apart(site: Site) -> None:
    whole = shared_object(f"{site.name}.so.13")
    site.put(f"nvidia/cu13/lib/{site.name}.so.13", whole[:100])
    (missed,) = libraries.missing(site.provider(f"{site.name}.so.13"), ())
    assert "no shared library, or only a part" in missed.problem


def test_the_environments_folders_are_looked_through(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/nowhere:{tmp_path / 'cuda'}")
    (tmp_path / "cuda").mkdir()
    made = site.library(f"{site.name}.so.13")
    provider = site.provider(f"{site.name}.so.13")
    shutil.move(made, tmp_path / "cuda")
    assert libraries.missing(provider, (), load=False) == ()


@pytest.mark.parametrize("load", [True, False])
def test_the_providers_own_folder_counts_where_it_says_so(site: Site, load: bool) -> None:
    site.library(f"onnxruntime/capi/{site.name}.so.1")
    beside = site.provider(f"{site.name}.so.1", runpath="$ORIGIN")
    assert libraries.missing(beside, (), load=load) == ()


def test_the_provider_itself_is_tried_last(site: Site) -> None:
    # A provider binds one symbol that nobody has but an onnxruntime that is imported.
    assert libraries.missing(site.provider("libc.so.6", undefined="Provider_GetHost"), ()) == ()
    provider = site.provider("libc.so.6", undefined="no_such_function_anywhere")
    (missed,) = libraries.missing(provider, ())
    assert missed.file == str(provider)
    assert "undefined symbol: no_such_function_anywhere" in missed.problem


def test_a_provider_that_is_not_there_or_none_is_said(site: Site, tmp_path: Path) -> None:
    (missed,) = libraries.missing(tmp_path / "gone.so", ())
    assert missed.problem == "it is not there"
    (missed,) = libraries.missing(Path(__file__), ())
    assert missed.problem == "it is no shared library"
    here = hardware.platform_names()[0]
    foreign = site.library("capi/provider.so", arch=OTHER[here])
    (missed,) = libraries.missing(foreign, ())
    assert missed.problem == f"it is for {OTHER[here]} and this is {here}"


def test_versions_are_listed_once_each(site: Site) -> None:
    real = site.library(f"nvidia/cu13/lib/{site.name}.so.13.0.96")
    (real.parent / f"{site.name}.so.13").symlink_to(real.name)
    old = site.library(f"nvidia/cuda_runtime/lib/{site.name}.so.12")
    assert set(libraries.versions_of(f"{site.name}.so")) == {str(real), str(old)}


@pytest.fixture
def unloaded() -> Iterator[None]:
    libraries.preload.cache_clear()
    yield
    libraries.preload.cache_clear()


@pytest.mark.usefixtures("unloaded")
def test_onnxruntime_preloads_once_and_says_nothing_on_stdout(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    calls: list[None] = []

    def load() -> None:
        print("Failed to load libcublas.so.13")
        calls.append(None)

    monkeypatch.setattr(onnxruntime, "preload_dlls", load, raising=False)
    libraries.preload()
    libraries.preload()
    assert len(calls) == 1
    assert capfd.readouterr().out == ""


@pytest.mark.usefixtures("unloaded")
def test_an_onnxruntime_that_preloads_nothing_is_asked_once_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(onnxruntime, "preload_dlls", raising=False)
    libraries.preload()
    libraries.preload()
    assert libraries.preload.cache_info() == (1, 1, None, 1)


@pytest.mark.parametrize("program", [None, "/nonexistent/ldconfig"])
def test_a_system_without_the_loaders_list_is_searched_all_the_same(
    program: str | None, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def which(name: str, path: Callable[..., str] | None = None) -> str | None:
        return program

    monkeypatch.setattr("shutil.which", which)
    libraries._cached.cache_clear()
    try:
        site.library(f"nvidia/cu13/lib/{site.name}.so.13")
        provider = site.provider(f"{site.name}.so.13", f"{site.name}.so.14")
        (missed,) = libraries.missing(provider, (), load=False)
        assert missed.asked == f"{site.name}.so.14"
    finally:
        libraries._cached.cache_clear()


def test_on_windows_the_loader_is_asked_by_the_names_there(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    wanted = (Library("libcudart.so", "13", "nvidia-cuda-runtime"),)
    (missed,) = libraries.missing(Path("provider.dll"), wanted)
    assert (missed.asked, missed.distribution) == ("cudart64_13.dll", "nvidia-cuda-runtime")
    assert "cudart64_13.dll" in missed.problem
    assert libraries.missing(Path("provider.dll"), wanted, load=False) == ()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert libraries.missing(Path("provider.dylib"), wanted) == ()
