"""Tables as plain text, for whoever writes them next: Markdown, HTML, a notebook."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from rich.text import Text

from edgekit.report.tables import Column
from edgekit.report.text import printable

_SPECIAL = re.compile(r"([\\`*<>|~#]|\](?=[(\[:])|(?<!\w)_|_(?!\w))")
"""What Markdown might read as markup; brackets alone are none, and intervals stand in them."""


class Grid(NamedTuple):
    """A table: titles, rows of cells of plain text, and which columns are words rather than
    numbers."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: tuple[bool, ...]


def grid(columns: Sequence[Column]) -> Grid:
    """Make a table of plain text of columns that are written for a terminal."""
    cells = [
        [Text.from_markup(cell, emoji=False).plain for cell in column.cells] for column in columns
    ]
    return Grid(
        tuple(column.title for column in columns),
        tuple(zip(*cells, strict=True)),
        tuple(column.left for column in columns),
    )


def markdown(table: Grid) -> str:
    """Write a table as GitHub's Markdown has it; nothing in a cell is read as markup."""
    marks = [":--" if words else "--:" for words in table.words]
    lines = [
        [in_markdown(title) for title in table.titles],
        marks,
        *([in_markdown(cell) for cell in row] for row in table.rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def in_markdown(text: str) -> str:
    """Write text in one line, so that Markdown shows it as it is."""
    one_line = " ".join(printable(text).split())
    return _SPECIAL.sub(r"\\\1", one_line).replace("@", "&#64;")
