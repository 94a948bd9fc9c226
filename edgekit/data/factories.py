"""Cases that the user's own code yields: `file.py:factory` and `package.module:factory`.

The factory is called anew at every pass. What it prints goes to stderr, so that a command's JSON
stays JSON.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edgekit.data.arrays import given_of
from edgekit.data.checking import Given
from edgekit.errors import FactoryFailed, InputError
from edgekit.tensors import Case, Signature
from edgekit.user_code import factory_in, imported, run_user_code

MOST_CASES = 100_000
"""How many cases are waited for: a factory that yields without an end must not hang a command."""
_YIELDS = "feeds ({input name: array}), pairs of a feed and its label, or edgekit.tensors.Case"
_END = object()


def factory(
    target: str, folder: Path, *, what: str, forms: str
) -> Callable[[Signature], Iterator[Given]]:
    """Import a factory, and return what yields its cases in a new pass each time it is called.

    Raises:
        NotFound, BadValue, UnknownName: there is no such file, module or factory.
        FactoryFailed: importing it raises.
    """
    with (
        contextlib.redirect_stdout(sys.stderr),
        imported(target, folder, what=what, forms=forms) as module,
    ):
        made = factory_in(module, target)

    def read(signature: Signature) -> Iterator[Given]:
        cases = _run(lambda: _iterator(made(), target), target)
        for index in range(MOST_CASES + 1):
            found = _run(lambda: next(cases, _END), target)
            if found is _END:
                return
            if index == MOST_CASES:
                raise FactoryFailed(
                    target=target,
                    problem=f"doesn't come to an end within {MOST_CASES:,} cases; yield fewer",
                )
            yield _given(found, signature)

    return read


def _run(run: Callable[[], Any], target: str) -> Any:
    with contextlib.redirect_stdout(sys.stderr):
        return run_user_code(run, target=target)


def _iterator(returned: Any, target: str) -> Iterator[Any]:
    if isinstance(returned, Mapping | str | bytes) or not isinstance(returned, Iterable):
        raise FactoryFailed(
            target=target,
            problem=f"returned {_in_words(returned)}; expected something to iterate over (write "
            f"'yield' in it) that gives {_YIELDS}",
        )
    return iter(returned)


def _given(found: Any, signature: Signature) -> Given:
    if isinstance(found, Case):
        return Given(found.feed, found.label)
    if isinstance(found, Mapping):
        return given_of(found, signature)
    if isinstance(found, tuple | list) and len(found) == 2 and isinstance(found[0], Mapping):
        return Given(found[0], found[1])
    inputs = ", ".join(f"{spec.name!r}: array" for spec in signature.inputs)
    raise InputError(
        problem=f"It is {_in_words(found)}; expected {_YIELDS}: yield {{{inputs}}}, label."
    )


def _in_words(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {', '.join(type(m).__name__ for m in value[:4])}"
    return f"a {type(value).__name__}"
