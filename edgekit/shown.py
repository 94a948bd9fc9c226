"""What makes a result show itself as a table in a notebook."""

from __future__ import annotations


class Shown:
    """A result that a notebook shows as a table: mixed into the structs that functions return.

    The report that writes the table is imported when one is asked for, so that whoever shows none
    pays nothing.
    """

    __slots__ = ()

    def _repr_html_(self) -> str:
        from edgekit.report.notebook import in_html

        return in_html(self)
