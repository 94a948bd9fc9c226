"""Write the tables of execution providers into docs/providers.md."""

from __future__ import annotations

from pathlib import Path

from edgekit.report.providers import with_tables

DOCUMENT = Path(__file__).parent / "providers.md"


def main() -> None:
    """Make the tables in the document anew."""
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
