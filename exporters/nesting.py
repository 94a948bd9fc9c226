"""Tensors inside containers, by dotted names, and back: what a module takes and what it returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any


def leaves(value: Any, name: str = "", *, first: str = "") -> list[tuple[str, Any]]:
    """List what containers hold, with names: `states.0`, `pooled`, `output_1.left`.

    Mappings give their keys, named tuples and dataclasses their fields, tuples and lists numbers.
    `first` comes before a number at the outermost level. What is no container is a leaf, None too.
    """
    members = _members(value)
    if members is None:
        return [(name, value)]
    numbered = isinstance(value, tuple | list) and not hasattr(value, "_fields")
    return [
        leaf
        for key, member in members
        for leaf in leaves(
            member, f"{name}.{key}" if name else f"{first}{key}" if numbered else key, first=first
        )
    ]


def rebuilt(like: Any, values: Iterator[Any]) -> Any:
    """Make the containers of `like` again around the next values, one for each of its leaves.

    Mappings become plain dicts, which is what torch's exporter tells apart from other containers.
    """
    if isinstance(like, Mapping):
        return {key: rebuilt(member, values) for key, member in like.items()}
    if isinstance(like, list):
        return [rebuilt(member, values) for member in like]
    if isinstance(like, tuple):
        made = [rebuilt(member, values) for member in like]
        return type(like)(*made) if hasattr(like, "_fields") else tuple(made)
    return next(values)


def _members(value: Any) -> list[tuple[str, Any]] | None:
    if isinstance(value, Mapping):
        return [(str(key), member) for key, member in value.items()]
    if isinstance(value, tuple | list):
        fields = getattr(value, "_fields", None) or range(len(value))
        return [(str(field), member) for field, member in zip(fields, value, strict=True)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(each.name, getattr(value, each.name)) for each in dataclasses.fields(value)]
    return None
