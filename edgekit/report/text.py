"""Text that comes from a file or a stranger, made fit to be shown."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Write control characters as what they are (`\x1b`), so that no name in a package and no
    word of an error can steer a terminal. Newlines and tabs stay.
    """
    return "".join(
        letter
        if letter.isprintable() or letter in "\n\t"
        else letter.encode("unicode_escape", "backslashreplace").decode("ascii")
        for letter in text
    )
