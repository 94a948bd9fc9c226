"""Write the JSON Schemas of what `--json` prints into docs/schemas: `make schemas`."""

from __future__ import annotations

from pathlib import Path

from edgekit.report.documents import DOCUMENTS, schema

FOLDER = Path(__file__).parent / "schemas"


def main() -> None:
    """Write a schema for every command that prints facts."""
    FOLDER.mkdir(exist_ok=True)
    for command in DOCUMENTS:
        (FOLDER / f"{command}.json").write_text(schema(command), encoding="utf-8")


if __name__ == "__main__":
    main()
