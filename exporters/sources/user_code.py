"""Taking what a factory returns."""

from __future__ import annotations

from typing import Any

import torch

from edgekit.errors import FactoryFailed
from exporters.exportable import Exportable

_RETURNS = (
    "a module and its example inputs (a tuple, or a dict of keyword arguments), or an "
    "exporters.exportable.Exportable"
)


def as_exportable(returned: Any, *, target: str) -> Exportable:
    """Accept what a factory may return.

    Raises:
        FactoryFailed: it is something else.
        UsageError: the module and its example don't fit each other.
    """
    if isinstance(returned, Exportable):
        return returned
    if isinstance(returned, tuple) and len(returned) == 2:
        module, example = returned
        if isinstance(module, torch.nn.Module) and isinstance(example, torch.Tensor):
            example = (example,)
        if isinstance(module, torch.nn.Module) and isinstance(example, tuple | dict):
            return Exportable(module, example)
    raise FactoryFailed(
        target=target, problem=f"returned {_in_words(returned)}; expected {_RETURNS}"
    )


def _in_words(returned: Any) -> str:
    if isinstance(returned, tuple):
        return f"({', '.join(type(member).__name__ for member in returned)})"
    return type(returned).__name__
