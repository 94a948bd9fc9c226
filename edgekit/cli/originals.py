"""What the commands that reach into `exporters` share."""

from __future__ import annotations

from pathlib import Path

import edgekit
from edgekit.errors import ForeignExporters


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
