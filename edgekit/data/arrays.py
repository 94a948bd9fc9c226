"""Cases in numpy's files: stacked in an .npz or in a folder of .npy, or one in each .npz.

An .npz is read as a stream, a case at a time, and an .npy is mapped: neither is held in memory.
"""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.lib import format as npy

from edgekit.data.checking import LABEL_NAMES, Given
from edgekit.data.rows import fixed_batch_hint, one_row_axis
from edgekit.errors import BadValue, InputError
from edgekit.tensors import Array, Signature

_READING = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, RuntimeError)
"""What numpy and zipfile raise of files that are damaged, or not theirs."""


class _Stack(Protocol):
    """Arrays of one name, stacked: `take` gives the next one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def take(self) -> Array: ...


def stacked_npz(path: Path, signature: Signature) -> Iterator[Given]:
    """Yield the cases of an .npz with one array an input, the first axis counting the cases.

    Raises:
        BadValue: it isn't such a file.
        InputError: its arrays don't fit the inputs, or each other.
    """
    with contextlib.ExitStack() as opened:
        with readable(path, "an .npz, as np.savez writes it"):
            archive = opened.enter_context(zipfile.ZipFile(path))
            stacks: dict[str, _Stack] = {
                member.filename.removesuffix(".npy"): _Streamed(
                    opened.enter_context(archive.open(member)), path
                )
                for member in archive.infolist()
            }
        yield from _unstacked(stacks, signature, path)


def stacked_npy(folder: Path, signature: Signature) -> Iterator[Given]:
    """Yield the cases of a folder with one .npy an input, the first axis counting the cases.

    Raises:
        BadValue: one can't be read.
        InputError: the arrays don't fit the inputs, or each other.
    """
    stacks: dict[str, _Stack] = {path.stem: _Mapped(path) for path in sorted(folder.glob("*.npy"))}
    yield from _unstacked(stacks, signature, folder)


def npz_each(folder: Path, signature: Signature) -> Iterator[Given]:
    """Yield the cases of a folder of .npz, one case in each, in the order of their names.

    Raises:
        BadValue: one can't be read.
    """
    for path in sorted(folder.glob("*.npz")):
        with (
            readable(path, "an .npz, as np.savez writes it"),
            np.load(path, allow_pickle=False) as found,
        ):
            arrays = {name: found[name] for name in found.files}
        yield given_of(arrays, signature)


def given_of(values: Mapping[str, Any], signature: Signature) -> Given:
    """Tell the label from what goes in: it is called "label" or "labels", as no input is."""
    inputs = {spec.name for spec in signature.inputs}
    name = next((n for n in LABEL_NAMES if n in values and n not in inputs), None)
    if name is None:
        return Given(values)
    return Given({key: value for key, value in values.items() if key != name}, values[name])


@contextlib.contextmanager
def readable(path: Path, expected: str) -> Iterator[None]:
    """Turn what a reader raises of a file that it can't read into a sentence.

    Raises:
        BadValue: with what the reader said.
    """
    try:
        yield
    except InputError:
        raise
    except _READING as error:
        said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        if "pickle" in said or "Python object" in said:
            said = "it holds Python objects, which only pickle could read, and that may run code"
        raise BadValue(what=str(path), asked=f"read ({said})", expected=expected) from error


def _unstacked(stacks: Mapping[str, _Stack], signature: Signature, path: Path) -> Iterator[Given]:
    """Take a case after the other from stacked arrays, once their shapes are seen to fit."""
    _refuse_other_lengths(stacks, path)
    for spec in signature.inputs:
        axes = len(stacks[spec.name].shape) - 1 if spec.name in stacks else len(spec.shape)
        short = one_row_axis(spec, signature) is not None
        if axes != len(spec.shape) and not (short and axes == len(spec.shape) - 1):
            raise InputError(
                problem=f"{spec.name} has the shape {list(stacks[spec.name].shape)}; its first "
                f"axis counts the cases, and each case is {spec}"
                + (", whose batch axis may be left out." if short else ".")
                + (fixed_batch_hint(spec) if axes == len(spec.shape) - 1 else "")
            )
    for _ in range(min((stack.shape[0] for stack in stacks.values()), default=0)):
        with readable(path, "whole arrays"):
            taken = {name: stack.take() for name, stack in stacks.items()}
        yield given_of(taken, signature)


def _refuse_other_lengths(stacks: Mapping[str, _Stack], path: Path) -> None:
    for name, stack in stacks.items():
        if not stack.shape:
            raise InputError(
                problem=f"{name} is a single number; the first axis of an array counts the cases."
            )
    counts = {name: stack.shape[0] for name, stack in stacks.items()}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{count:,} of {name}" for name, count in counts.items())
        raise InputError(problem=f"Its arrays have different numbers of cases: {found}.")


class _Mapped:
    """An .npy on disk, of which only what is taken is read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with readable(path, "an .npy, as np.save writes it"):
            with path.open("rb") as file:
                self.shape, _, _ = _header(file)
            # An array without elements can't be mapped.
            self._whole = None if np.prod(self.shape) else np.load(path, allow_pickle=False)
            if self._whole is None:
                self._mapped()
        self._next = 0

    def take(self) -> Array:
        self._next += 1
        # Mapped anew for each: what has been read of a map counts as memory of the process.
        array = self._mapped() if self._whole is None else self._whole
        return np.array(array[self._next - 1])

    def _mapped(self) -> Array:
        mapped: Array = np.load(self._path, mmap_mode="r", allow_pickle=False)
        return mapped


class _Streamed:
    """An .npy inside of an .npz, read from its beginning to its end, compressed or not."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self.shape, fortran, self._dtype = _header(file)
        self._file = file
        self._whole: Array | None = None
        if self._dtype.hasobject:
            raise ValueError("Python objects")
        if fortran and len(self.shape) > 1:
            # Its cases are interleaved: one can't be had without the others.
            content = np.frombuffer(bytearray(file.read()), self._dtype)
            self._whole = content.reshape(self.shape[::-1]).T
        self._next = 0

    def take(self) -> Array:
        self._next += 1
        if self._whole is not None:
            return np.array(self._whole[self._next - 1])
        size = self._dtype.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))
        content = self._file.read(size)
        if len(content) < size:
            raise EOFError("it ends too early")
        return np.frombuffer(bytearray(content), self._dtype).reshape(self.shape[1:])


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(file)
    if version == (1, 0):
        return npy.read_array_header_1_0(file)
    if version == (2, 0):
        return npy.read_array_header_2_0(file)
    raise ValueError(f"version {version[0]}.{version[1]} of numpy's format holds no plain numbers")
