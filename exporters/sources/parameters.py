"""`-p NAME=VALUE`: text on the command line, given the type that it is meant to have."""

from __future__ import annotations

import ast
import contextlib
import inspect
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType
from typing import Any

import msgspec

from edgekit.errors import BadValue, FactoryFailed, UnknownName

_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_WORDS = {"true": True, "false": False, "none": None}


def typed_parameters(
    factory: Callable[..., Any], given: Mapping[str, str], *, target: str
) -> dict[str, Any]:
    """Give each `-p NAME=VALUE` the type that the factory's signature declares.

    Without an annotation the default's type is taken, and text without a default. "None" is None
    where the type allows it. What `**kwargs` would take stays text.

    Raises:
        UnknownName, BadValue: a parameter that the factory lacks, needs, or can't take so.
        FactoryFailed: its signature can't be read.
    """
    signature = _signature(factory, target)
    declared = {name: p for name, p in signature.parameters.items() if p.kind in _KEYWORD}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    typed: dict[str, Any] = {}
    for name, text in given.items():
        if name in declared:
            typed[name] = _typed(text, declared[name], target)
        elif takes_any:
            typed[name] = text
        else:
            raise UnknownName(
                kind="parameter", of=f"of {target}", asked=name, available=list(declared)
            )
    for name, parameter in declared.items():
        if parameter.default is parameter.empty and name not in typed:
            raise BadValue(
                what=f"the parameter {name} of {target}", asked="left out", expected=f"-p {name}=…"
            )
    return typed


def as_written(text: str) -> Any:
    """Read a value that no signature declares as Python would: 10, 0.1, (2, 2), True, None.

    What is none of these stays text, so that a name needs no quotation marks.
    """
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
        return ast.literal_eval(text)
    return text


def converted(text: str, kind: Any, *, what: str) -> Any:
    """Convert text to a type.

    Raises:
        BadValue: it can't be that.
    """
    if text == "None" and NoneType in typing.get_args(kind):
        return None
    if kind is Path:
        return Path(text)
    try:
        return msgspec.convert(text, kind, strict=False)
    except (msgspec.ValidationError, TypeError) as error:
        words = typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()
        expected = ", ".join(map(str, words)) or inspect.formatannotation(kind)
        raise BadValue(what=what, asked=repr(text), expected=expected) from error


def _signature(factory: Callable[..., Any], target: str) -> inspect.Signature:
    with contextlib.suppress(Exception):  # whatever evaluating the annotations raises
        return inspect.signature(factory, eval_str=True)
    try:
        return inspect.signature(factory)
    except (TypeError, ValueError) as error:
        raise FactoryFailed(target=target, problem="has no signature that can be read") from error


def _typed(text: str, parameter: inspect.Parameter, target: str) -> Any:
    kind = parameter.annotation
    if kind is parameter.empty or isinstance(kind, str):
        default = parameter.default
        kind = str if default is parameter.empty or default is None else type(default)
    return converted(text, kind, what=f"the parameter {parameter.name} of {target}")
