"""The reference models, a file each: the file's name is the model's, and so is its factory's."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from importlib import resources
from typing import TYPE_CHECKING

import msgspec

from edgekit import terms
from edgekit.errors import MissingExtra, UnknownName

if TYPE_CHECKING:
    from exporters.exportable import Exportable


def names() -> tuple[str, ...]:
    """List the reference models, without importing any."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


class Parameter(msgspec.Struct, frozen=True):
    """A parameter of a model's factory, as its source declares it: what `-p NAME=VALUE` sets."""

    name: str
    kind: str
    """Its type, in Python's words."""
    default: str | None
    """None where it must be given."""
    choices: tuple[str, ...] = ()
    """The only values that there are; empty where there are more."""


class Described(msgspec.Struct, frozen=True):
    """A reference model as its file describes it."""

    name: str
    summary: str
    """The first line of its file."""
    parameters: tuple[Parameter, ...]


def described() -> tuple[Described, ...]:
    """Read what each model is and which parameters it takes, without importing any."""
    found = []
    for name in names():
        source = resources.files(__name__).joinpath(f"{name}.py").read_text(encoding="utf-8")
        tree = ast.parse(source)
        summary = (ast.get_docstring(tree) or "").partition("\n")[0]
        factory = next(
            node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name
        )
        found.append(Described(name, summary, tuple(_parameters(factory.args))))
    return tuple(found)


def _parameters(declared: ast.arguments) -> Iterator[Parameter]:
    positional = [*declared.posonlyargs, *declared.args]
    without = len(positional) - len(declared.defaults)
    defaults = [*([None] * without), *declared.defaults, *declared.kw_defaults]
    for argument, default in zip([*positional, *declared.kwonlyargs], defaults, strict=True):
        kind = "" if argument.annotation is None else ast.unparse(argument.annotation)
        # A closed set of words stands in edgekit.terms, which can be read without torch.
        choices = terms.members(getattr(terms, kind, None))
        yield Parameter(
            name=argument.arg,
            kind="str" if choices else kind,
            default=None if default is None else _shown(default),
            choices=choices,
        )


def _shown(default: ast.expr) -> str:
    """Write a default as it would be typed after `-p NAME=`."""
    return str(default.value) if isinstance(default, ast.Constant) else ast.unparse(default)


def find(name: str) -> Callable[..., Exportable]:
    """Import the reference model of this name and return its factory.

    Raises:
        UnknownName: there is no such model.
        MissingExtra: torch isn't installed.
    """
    if name not in names():
        raise UnknownName(kind="reference model", asked=name, available=list(names()))
    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtra(
            module="torch", extra="export", what=f"The reference model {name!r}"
        ) from error
    factory: Callable[..., Exportable] = getattr(module, name)
    return factory
