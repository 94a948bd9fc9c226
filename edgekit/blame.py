"""Which line of the user's own code an error points to."""

from __future__ import annotations

import re
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

import edgekit

_QUOTED = re.compile(r'File "([^"]+)", line (\d+)')
_OURS = Path(edgekit.__file__).parent
_OTHERS = tuple(
    {
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        str(_OURS),
        str(_OURS.parent / "exporters"),
    }
)


def users_line(error: BaseException) -> str:
    """Name the innermost line of the user's code as `file:line`; empty where there is none.

    It is looked for in the first cause, then in what was raised from it. torch quotes stacks in
    its messages, which reach further in than the traceback of an export does.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    for cause in reversed(list(_chain(error))):
        quoted = _QUOTED.findall(str(cause))
        raised = [(f.filename, f.lineno) for f in traceback.extract_tb(cause.__traceback__)]
        own = [f"{file}:{line}" for file, line in (*raised, *quoted) if _is_users(file)]
        if own:
            return own[-1]
    return ""


def first_cause(error: BaseException) -> BaseException:
    """Return the exception that all others in the chain were raised from."""
    return list(_chain(error))[-1]


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _is_users(file: str) -> bool:
    return not file.startswith("<") and not any(Path(file).is_relative_to(o) for o in _OTHERS)
