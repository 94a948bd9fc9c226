from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit import elf, hardware

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ELF is the format of Linux")
LIBRARY = Path(str(msgspec._core.__file__)) if sys.platform == "linux" else Path()


def test_a_real_library_says_what_it_loads() -> None:
    read = elf.read(LIBRARY)
    assert read is not None
    assert read.machine == hardware.platform_names()[0]
    assert any(name.startswith(("libc.", "libpthread.")) for name in read.needed)


def test_a_program_is_read_as_well() -> None:
    read = elf.read(Path(sys.executable).resolve())
    assert read is not None
    assert read.soname == ""


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"not a library at all" * 99, b"\x7fELF\x03"])
def test_what_is_no_library_is_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.so").write_bytes(content)
    assert elf.read(tmp_path / "x.so") is None


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    assert elf.read(tmp_path / "x.so") is None
    assert elf.read(tmp_path) is None


def test_soname_is_that_of_the_build() -> None:
    shared = sorted(Path(sysconfig.get_config_var("LIBDIR")).glob("libpython3.*.so.*"))
    if not shared:
        pytest.skip("this Python has no shared library of its own")
    read = elf.read(shared[0])
    assert read is not None
    assert read.soname == shared[0].name


@given(at=st.integers(0, 1500), byte=st.binary(min_size=1, max_size=8), end=st.integers(0, 1 << 20))
def test_a_broken_library_never_raises(
    at: int, byte: bytes, end: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(LIBRARY.read_bytes()[: 1 << 20])
    content[at : at + len(byte)] = byte
    path = tmp_path_factory.getbasetemp() / "broken.so"
    path.write_bytes(content[:end])
    read = elf.read(path)
    assert read is None or isinstance(read.machine, str)
