"""What the commands that reach into `exporters` share."""

from __future__ import annotations

from pathlib import Path

import edgekit
from edgekit.errors import BadValue, ForeignExporters


def own_exporters() -> None:
    """Make sure that `exporters` is edgekit's own.

    Raises:
        ForeignExporters: another package of that name comes first.
    """
    import exporters

    ours = Path(edgekit.__file__).parent.parent / "exporters"
    found = Path(exporters.__file__ or next(iter(exporters.__path__))).resolve()
    if ours.resolve() not in (found, found.parent):
        raise ForeignExporters(path=str(found))


def named_parameters(params: tuple[str, ...]) -> dict[str, str]:
    """Split `NAME=VALUE` texts.

    Raises:
        BadValue: one isn't of that form, or a name comes twice.
    """
    named: dict[str, str] = {}
    for text in params:
        name, equals, value = text.partition("=")
        if not equals or not name or name in named:
            raise BadValue(what="-p", asked=repr(text), expected="NAME=VALUE, each name once")
        named[name] = value
    return named
