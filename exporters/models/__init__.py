"""The reference models, a file each: the file's name is the model's, and so is its factory's."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Callable
from importlib import resources
from typing import TYPE_CHECKING

from edgekit.errors import MissingExtra, UnknownName

if TYPE_CHECKING:
    from exporters.exportable import Exportable


def names() -> tuple[str, ...]:
    """List the reference models, without importing any."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def summaries() -> dict[str, str]:
    """Return the first line of each model's docstring, without importing any."""
    found = {}
    for name in names():
        source = resources.files(__name__).joinpath(f"{name}.py").read_text(encoding="utf-8")
        found[name] = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    return found


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
