"""Tables for a terminal: whole columns, side by side as far as they fit, and the rest below."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from edgekit.report.text import printable

_GAP = 2
_TAG = re.compile(r"(\\*\[[a-z#/@][^\[]*?\])")
"""What rich takes for a tag, with the backslashes in front of it."""


class Column(NamedTuple):
    """A column: its title, and a cell a row, all in rich's markup."""

    title: str
    cells: Sequence[str]
    left: bool = False


def shown(text: str) -> str:
    """Make a name fit for rich's markup: nothing in it is read as markup or steers the terminal."""
    clean = printable(text).replace("\n", "\\n").replace("\t", "\\t")
    return "".join(
        # rich also takes the backslash from a bracket that begins no tag, and doesn't escape it.
        escape(part) if _TAG.fullmatch(part) else part.replace("\\[", "\\\\[")
        for part in _TAG.split(clean)
    )


def print_table(console: Console, columns: Sequence[Column]) -> None:
    """Print columns in line. Where they are wider than the console, those that don't fit come in a
    table below, beside the first column again; a row that has nothing to say there is left out.
    """
    first, *others = columns
    block = [first]
    for column in others:
        if len(block) > 1 and _width([*block, column]) > console.width:
            _print_block(console, block)
            console.print()
            block = [first]
        block.append(column)
    _print_block(console, block)


def _print_block(console: Console, block: Sequence[Column]) -> None:
    titles = [column.title for column in block]
    rows = [row for row in zip(*(column.cells for column in block), strict=True) if any(row[1:])]
    widths = [_width([column]) for column in block]
    for row in (titles, *rows):
        line = Text()
        for cell, width, column in zip(row, widths, block, strict=True):
            text = Text.from_markup(cell, emoji=False)
            space = " " * (width - text.cell_len)
            line.append_text(
                Text.assemble(text, space) if column.left else Text.assemble(space, text)
            )
            line.append(" " * _GAP)
        line.rstrip()
        console.print(line, soft_wrap=True)


def _width(block: Sequence[Column]) -> int:
    """Count the places that columns take side by side."""
    return _GAP * (len(block) - 1) + sum(
        max(Text.from_markup(cell, emoji=False).cell_len for cell in (column.title, *column.cells))
        for column in block
    )
