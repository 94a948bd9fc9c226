"""What a worker and its parent say to each other: length-prefixed msgpack frames with arrays.

Imports only msgspec, since a worker times the imports of everything else.
"""

from __future__ import annotations

import struct
from typing import IO, Any, TypeVar

import msgspec

from edgekit.tensors import dtype_named, numpy_dtype, plain

T = TypeVar("T")

GREETING = b"\0edgekit worker\n"
"""The first thing that a worker's own code writes: what came before it are no frames."""

_LENGTH = struct.Struct("<Q")
_ARRAY = 1


class Request(msgspec.Struct):
    """One thing to do: `call` or `open` a function, `run` or `release` what it opened, or tell the
    `peak`."""

    do: str
    function: str = ""
    arguments: dict[str, Any] = {}
    feed: dict[str, Any] = {}
    calls: int = 0
    warm_ups: int = 0


class Event(msgspec.Struct):
    """What the child logged: its level, its line, and how much is done of how much, if it said."""

    level: int
    text: str
    progress: tuple[int, int] | None = None


class Reply(msgspec.Struct):
    """An answer: a value, an error with a sentence or a fault without; or an event on the way."""

    value: Any = None
    event: Event | None = None
    error: tuple[str, dict[str, Any]] | None = None
    fault: str | None = None
    """A traceback."""


def write(stream: IO[bytes], payload: bytes) -> None:
    """Write one frame and send it off."""
    stream.write(_LENGTH.pack(len(payload)) + payload)
    stream.flush()


def read(stream: IO[bytes]) -> bytes | None:
    """Wait for one frame; None at the end of the stream."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    payload = stream.read(length)
    return payload if len(payload) == length else None


def encode(value: object) -> bytes:
    """Encode a value of plain things, structs and arrays for one frame.

    Raises:
        BadValue: an array of a type that no model has.
        TypeError: something that can't cross.
        ValueError: one part of it has 4 GiB or more.
    """
    return msgspec.msgpack.encode(value, enc_hook=_encode_array)


def decode(frame: bytes, kind: type[T]) -> T:
    """Decode what `encode` gave; its arrays are new ones that may be written to."""
    return msgspec.msgpack.decode(frame, type=kind, ext_hook=_decode_array)


def _encode_array(value: Any) -> Any:
    import numpy as np

    if not isinstance(value, np.ndarray | np.generic):
        raise TypeError(f"{type(value).__name__} cannot cross to or from a worker")
    array = plain(np.asarray(value))
    head = msgspec.msgpack.encode((dtype_named(array.dtype.name), array.shape))
    return msgspec.msgpack.Ext(_ARRAY, _LENGTH.pack(len(head)) + head + array.tobytes())


def _decode_array(code: int, data: memoryview) -> Any:
    import numpy as np

    if code != _ARRAY:
        raise ValueError(f"unknown extension {code} in a worker's frame")
    (length,) = _LENGTH.unpack(data[: _LENGTH.size])
    body = _LENGTH.size + length
    name, shape = msgspec.msgpack.decode(data[_LENGTH.size : body], type=tuple[str, list[int]])
    return np.frombuffer(bytearray(data[body:]), dtype=numpy_dtype(name)).reshape(shape)
