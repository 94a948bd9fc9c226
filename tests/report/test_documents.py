"""The schemas in docs/schemas are those of the structs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from edgekit.cli.main import cli
from edgekit.report.documents import DOCUMENTS, schema

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


@pytest.mark.parametrize("command", sorted(DOCUMENTS))
def test_the_schema_that_is_kept_is_that_of_the_struct(command: str) -> None:
    kept = (SCHEMAS / f"{command}.json").read_text(encoding="utf-8")
    assert kept == schema(command), "run: make schemas"


def commands(group: click.Group, *above: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command under its document's name; those of a group go by both names."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)
        else:
            yield "-".join([*above, name]), command


def test_there_is_a_schema_for_every_command_with_json() -> None:
    with_json = {
        name
        for name, command in commands(cli)
        if any("--json" in option.opts for option in command.params)
    }
    assert with_json == set(DOCUMENTS) == {path.stem for path in SCHEMAS.glob("*.json")}


@pytest.mark.parametrize("command", sorted(DOCUMENTS))
def test_every_document_carries_the_version_of_its_form(command: str) -> None:
    made = json.loads(schema(command))
    roots = made.get("anyOf", [made])
    structs = [root for root in roots if "$ref" in root]
    assert structs
    for root in structs:
        definition = made["$defs"][root["$ref"].rpartition("/")[2]]
        assert "schema_version" in definition["properties"]


@pytest.mark.parametrize("command", sorted(DOCUMENTS))
def test_a_schema_is_one(command: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(json.loads(schema(command)))
