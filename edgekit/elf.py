"""What a shared library of Linux says of itself: the processor that it is for, what it loads.

Only the header and the dynamic section are read, so that a library of 300 MB takes no time.
The layout is that of the System V ABI, chapters "ELF Header", "Program Header", "Dynamic Section".
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import msgspec

_MACHINES = {3: "i386", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64"}
_LOAD, _DYNAMIC = 1, 2  # kinds of program headers
_NEEDED, _STRTAB, _STRSZ, _SONAME, _RPATH, _RUNPATH = 1, 5, 10, 14, 15, 29  # dynamic tags
_MOST = 1 << 20
"""No table or text of a real library that is read here is larger, in bytes."""


class Elf(msgspec.Struct, frozen=True):
    """A shared library: its processor (`x86_64`, `aarch64`), its own name, what it loads.

    `needed` are the names of the libraries that the loader opens with it; `runpath` are folders
    in which it looks for them first, `$ORIGIN` standing for the library's own.
    """

    machine: str
    soname: str
    needed: tuple[str, ...]
    runpath: tuple[str, ...]


def read(path: Path) -> Elf | None:
    """Read a shared library; None where the file isn't one, or can't be read."""
    try:
        with path.open("rb") as file:
            return _read(file)
    except (OSError, struct.error, ValueError, OverflowError):
        return None


def _read(file: BinaryIO) -> Elf | None:
    ident = file.read(16)
    if len(ident) < 16 or ident[:4] != b"\x7fELF" or ident[4] not in (1, 2):
        return None
    wide = ident[4] == 2
    order = ">" if ident[5] == 2 else "<"
    header = struct.Struct(order + ("HHIQQQIHHH" if wide else "HHIIIIIHHH"))
    _, machine, _, _, offset, _, _, _, size, count = header.unpack(file.read(header.size))
    segments = [_segment(row, order, wide) for row in _rows(_at(file, offset, size * count), size)]
    loaded = [
        (start, address, length) for kind, start, address, length in segments if kind == _LOAD
    ]
    dynamic = next((row for row in segments if row[0] == _DYNAMIC), None)
    if dynamic is None:
        return None
    pair = struct.Struct(order + ("qQ" if wide else "iI"))
    table = _at(file, dynamic[1], dynamic[3])
    entries = list(pair.iter_unpack(table[: len(table) // pair.size * pair.size]))
    tags = dict(entries)
    texts = b""
    for start, address, length in loaded:
        if address <= tags.get(_STRTAB, -1) < address + length:
            texts = _at(file, start + tags[_STRTAB] - address, tags.get(_STRSZ, 0))
    runpath = _text(texts, tags.get(_RUNPATH, tags.get(_RPATH)))
    return Elf(
        machine=_MACHINES.get(machine, f"machine {machine}"),
        soname=_text(texts, tags.get(_SONAME)),
        needed=tuple(_text(texts, value) for tag, value in entries if tag == _NEEDED),
        runpath=tuple(filter(None, runpath.split(":"))),
    )


def _segment(row: bytes, order: str, wide: bool) -> tuple[int, int, int, int]:
    """Give a program header's kind, its place in the file and in memory, and its length there."""
    if wide:
        kind, _, start, address, _, length = struct.unpack_from(order + "IIQQQQ", row)
    else:
        kind, start, address, _, length = struct.unpack_from(order + "IIIII", row)
    return kind, start, address, length


def _rows(table: bytes, size: int) -> list[bytes]:
    return [table[i : i + size] for i in range(0, len(table), size)] if size else []


def _at(file: BinaryIO, offset: int, length: int) -> bytes:
    if length > _MOST:
        raise ValueError("a table of this length is in no shared library")
    file.seek(offset)
    return file.read(length)


def _text(texts: bytes, offset: int | None) -> str:
    if offset is None:
        return ""
    return texts[offset : texts.find(b"\0", offset)].decode(errors="replace")
