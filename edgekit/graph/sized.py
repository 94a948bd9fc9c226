"""A node with the sizes that it meets in a run: what operations and bytes are counted from."""

from __future__ import annotations

import math
from typing import Any

import msgspec

_BITS = {
    "bool": 8,
    **{f"{sign}{bits}": bits for sign in ("int", "uint") for bits in (4, 8, 16, 32, 64)},
    **{f"float{bits}": bits for bits in (16, 32, 64)},
    "bfloat16": 16,
    **dict.fromkeys(("float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz"), 8),
}
_OTHER_NAMES = {"float": "float32", "double": "float64"}


class Sized(msgspec.Struct, frozen=True):
    """A tensor's element type, by its numpy name, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Its size, in which two 4-bit numbers share a byte; 0 for what is no number (text)."""
        return (self.elements * _BITS.get(self.dtype, 0) + 7) // 8


class SizedNode(msgspec.Struct, frozen=True):
    """A node with what goes in and comes out; None where it has nothing at that place.

    `attributes` are numbers, texts and lists of them, by name; graphs and tensors are left out.
    `known` says that the sizes of all that it names are there, `constant_bytes` how much of what
    goes in is weights.
    """

    name: str
    operator: str
    domain: str = ""
    attributes: dict[str, Any] = {}
    inputs: tuple[Sized | None, ...] = ()
    outputs: tuple[Sized | None, ...] = ()
    known: bool = True
    constant_bytes: int = 0

    def input(self, place: int) -> Sized | None:
        """Return what goes in at a place; None where nothing does."""
        return self.inputs[place] if place < len(self.inputs) else None

    def output(self, place: int = 0) -> Sized | None:
        """Return what comes out at a place; None where nothing does."""
        return self.outputs[place] if place < len(self.outputs) else None


def dtype_of(name: str) -> str:
    """Name an element type as numpy does: ONNX Runtime's `float` is float32."""
    return _OTHER_NAMES.get(name, name)
