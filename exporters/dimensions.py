"""Dynamic dimensions as text: `batch:1..64,_` says that axis 0 is named and axis 1 is fixed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from edgekit.errors import BadValue, UnknownName
from edgekit.tensors import Dim

_DIM = re.compile(r"([A-Za-z_]\w*)(?::(\d+)\.\.(\d*))?")
_EXPECTED = "a name and perhaps a range for each axis, '_' for a fixed one: batch:1..64,_,time"


def parse_option(text: str) -> tuple[str, list[str | int | None]]:
    """Split `input=axis,axis,…` as it stands on the command line.

    Raises:
        BadValue: it isn't of that form.
    """
    name, equals, axes = text.partition("=")
    if not equals or not name or not axes:
        raise BadValue(what="--dynamic", asked=repr(text), expected="input=batch:1..64,_")
    return name, [None if axis.strip() in ("_", "") else axis.strip() for axis in axes.split(",")]


def resolve(
    dynamic: Mapping[str, Sequence[str | int | None]], shapes: Mapping[str, Sequence[int]]
) -> dict[str, tuple[int | Dim, ...]]:
    """Put the named dimensions into the example's shapes.

    A name that several axes share is one dimension, with the one range that any of them gives.

    Raises:
        UnknownName: an input that isn't there.
        BadValue: text that can't be read, too many axes, two ranges for one name, or an example
            whose sizes lie outside the range or differ between axes of one name.
    """
    for name in dynamic:
        if name not in shapes:
            raise UnknownName(kind="input", asked=name, available=list(shapes))
    parsed = {name: [_parse(name, axis) for axis in axes] for name, axes in dynamic.items()}
    ranges: dict[str, Dim] = {}
    for axes in parsed.values():
        for axis in axes:
            if axis is not None:
                _merge(ranges, *axis)
    resolved: dict[str, tuple[int | Dim, ...]] = {}
    sizes: dict[str, int] = {}
    for name, shape in shapes.items():
        axes = parsed.get(name, [])
        if len(axes) > len(shape):
            raise BadValue(
                what=f"the dynamic dimensions of {name}",
                asked=f"{len(axes)} axes",
                expected=f"at most {len(shape)}, the example's shape is {list(shape)}",
            )
        for typed, size in zip(dynamic.get(name, ()), shape, strict=False):
            if str(typed).isdigit() and str(typed) != str(size):
                raise BadValue(
                    what=f"a fixed size of {name}",
                    asked=str(typed),
                    expected=f"that of the example, whose shape is {list(shape)}",
                )
        padded = [*axes, *[None] * (len(shape) - len(axes))]
        resolved[name] = tuple(
            size if axis is None else _within(ranges[axis[0]], size, name, sizes)
            for axis, size in zip(padded, shape, strict=True)
        )
    return resolved


def _parse(name: str, axis: str | int | None) -> tuple[str, Dim | None] | None:
    if axis is None or axis == "_" or isinstance(axis, int) or axis.isdigit():
        return None
    match = _DIM.fullmatch(axis)
    if match is None:
        raise BadValue(what=f"a dynamic dimension of {name}", asked=repr(axis), expected=_EXPECTED)
    dim, low, high = match.groups()
    if low is None:
        return dim, None
    if int(low) < 1 or (high and int(high) <= int(low)) or max(int(low), int(high or 0)) >= 2**63:
        raise BadValue(
            what=f"the range of {dim}",
            asked=f"{low}..{high}",
            expected="a low end of 1 or more and a high end above it, below 2^63",
        )
    return dim, Dim(dim, int(low), int(high) if high else None)


def _merge(ranges: dict[str, Dim], name: str, given: Dim | None) -> None:
    known = ranges.get(name)
    unranged = Dim(name)
    if given is None:
        ranges.setdefault(name, unranged)
    elif known is None or known in (given, unranged):
        ranges[name] = given
    else:
        raise BadValue(
            what=f"the dimension {name}", asked=f"{known} and {given}", expected="one range"
        )


def _within(dim: Dim, size: int, tensor: str, sizes: dict[str, int]) -> Dim:
    if size < dim.low or (dim.high is not None and size > dim.high):
        raise BadValue(
            what=f"{dim.name} in the example for {tensor}", asked=str(size), expected=str(dim)
        )
    if sizes.setdefault(dim.name, size) != size:
        raise BadValue(
            what=f"{dim.name} in the example for {tensor}",
            asked=str(size),
            expected=f"{sizes[dim.name]}, as in another input of the example",
        )
    return dim
