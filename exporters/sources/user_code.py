"""Running what others wrote, and taking what a factory returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from edgekit.errors import EdgekitError, FactoryFailed, UsageError
from exporters.blame import users_line
from exporters.exportable import Exportable

_RETURNS = (
    "a module and its example inputs (a tuple, or a dict of keyword arguments), or an "
    "exporters.exportable.Exportable"
)
_LONGEST = 600
"""Characters of a user's exception that fit into a sentence."""


def run_user_code(run: Callable[[], Any], *, target: str) -> Any:
    """Run code of the user's and turn whatever it raises into one sentence.

    Raises:
        FactoryFailed: with the line of the user's code where it happened.
        EdgekitError: what edgekit raised inside (a missing extra, say), as it was.
    """
    try:
        return run()
    except UsageError as error:
        # Of edgekit's parts, used in a way that can't be meant; the user of the factory is not
        # the one who can mend that.
        raise FactoryFailed(
            target=target,
            problem=f"made what can't be exported: {str(error).rstrip('.')}",
            where=users_line(error),
        ) from error
    except EdgekitError:
        raise
    except SystemExit as error:
        raise FactoryFailed(
            target=target, problem=f"called exit({error.code!r})", where=users_line(error)
        ) from error
    except Exception as error:
        problem = f"raised {type(error).__name__}: {in_one_line(error)}"
        raise FactoryFailed(target=target, problem=problem, where=users_line(error)) from error


def in_one_line(error: BaseException) -> str:
    """Return what an exception says as one line that fits into a sentence."""
    return " ".join(str(error).split())[:_LONGEST]


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
