"""Tables: aligned, never wider than the terminal while a column may go below, no markup read."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from edgekit.report.tables import Column, print_table, shown

names = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)


def printed(columns: list[Column], width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, emoji=False, highlight=False)
    print_table(console, columns)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_columns_are_in_line() -> None:
    columns = [
        Column("", ["eager", "fp32 · cpu"], left=True),
        Column("p50 ms", ["0.249", "0.0687"]),
        Column("speedup", ["baseline", "×3.61"]),
    ]
    assert printed(columns, 80) == [
        "            p50 ms   speedup",
        "eager        0.249  baseline",
        "fp32 · cpu  0.0687     ×3.61",
    ]


def test_what_does_not_fit_comes_below_beside_the_first_column() -> None:
    columns = [
        Column("", ["eager", "fp32", "[dim]compiled[/]"], left=True),
        Column("p50 ms", ["0.249", "0.0687", "left out"]),
        Column("accuracy", ["98.5 %", "98.4 %", ""]),
    ]
    assert printed(columns, 20) == [
        "            p50 ms",
        "eager        0.249",
        "fp32        0.0687",
        "compiled  left out",
        "",
        "          accuracy",
        "eager       98.5 %",
        "fp32        98.4 %",
    ]


@given(st.lists(names, min_size=1, max_size=4), st.integers(1, 9), st.integers(30, 100))
def test_lines_keep_to_the_width(labels: list[str], columns: int, width: int) -> None:
    labelled = [shown(label)[:12] for label in labels if "[" not in label and "\\" not in label]
    table = [
        Column("", labelled, left=True),
        *(Column(f"title {i}", ["9" * i] * len(labelled)) for i in range(columns)),
    ]
    lines = printed(table, width)
    assert all(cell_len(line) <= max(width, 40) for line in lines)
    for i in range(columns):
        assert sum(f"title {i}" in line for line in lines) == 1


@given(names)
def test_names_are_shown_as_they_are(name: str) -> None:
    lines = printed([Column("", ["-"]), Column("name", [shown(f"|{name}|")], left=True)], 80)
    text = "\n".join(lines)
    visible = "".join(letter for letter in name if letter.isprintable())
    assert all(letter in text for letter in visible)


@given(st.text("\\[]/ab#", max_size=12))
def test_a_name_comes_out_of_markup_as_it_went_in(name: str) -> None:
    assert Text.from_markup(shown(name)).plain == name


def test_markup_and_emoji_in_names_are_not_read() -> None:
    for name in ("[bold]x[/]", "[/]", "[link=http://x]", ":warning:", "a\\", "\\[red]"):
        assert f"|{name}|" in printed([Column(shown(f"|{name}|"), ["x"])], 80)[0]


def test_a_name_stays_in_its_line() -> None:
    lines = printed([Column("", [shown("two\nlines\tand \x1b[2J")], left=True)] * 2, 80)
    assert lines[1].startswith("two\\nlines\\tand \\x1b[2J")
