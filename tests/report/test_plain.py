"""Tables as plain text and as Markdown."""

from __future__ import annotations

import pytest

from edgekit.report.plain import Grid, grid, in_markdown, markdown
from edgekit.report.tables import Column, shown


def test_columns_of_a_terminal_become_plain_text() -> None:
    made = grid([Column("", [shown("a[b]"), "[dim]c[/]"], left=True), Column("ms", ["1", "2"])])
    assert made == Grid(("", "ms"), (("a[b]", "1"), ("c", "2")), (True, False))


def test_markdown_has_a_line_a_row() -> None:
    table = Grid(("name", "ms"), (("a|b", "1.0 [0.9, 1.1]"),), (True, False))
    assert markdown(table) == ("| name | ms |\n| :-- | --: |\n| a\\|b | 1.0 [0.9, 1.1] |\n")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("avx512_vnni", "avx512_vnni"),
        ("_a_", "\\_a\\_"),
        ("*a* `b` <script>", "\\*a\\* \\`b\\` \\<script\\>"),
        ("[a](http://b)", "[a\\](http://b)"),
        ("two\nlines\x1b", "two lines\\\\x1b"),
        ("@someone #1", "&#64;someone \\#1"),
    ],
)
def test_nothing_in_a_cell_is_markup(text: str, written: str) -> None:
    assert in_markdown(text) == written
