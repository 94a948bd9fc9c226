from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgekit.report.text import printable


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_that_is_printed_steers_a_terminal(text: str) -> None:
    shown = printable(text)
    assert all(letter.isprintable() or letter in "\n\t" for letter in shown)
    shown.encode()


@given(st.text().filter(lambda text: text.isprintable()))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_what_is_hidden_is_named() -> None:
    assert printable("a\x1b[31m\u202eb\udcff\r\nc") == "a\\x1b[31m\\u202eb\\udcff\\r\nc"
