"""`edgekit inspect`: what is in a package or an .onnx file."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import debug_option, json_option

_EPILOG = """\b
Examples:
  edgekit inspect net.edgekit
  edgekit inspect elsewhere.onnx --json"""


@click.command(epilog=_EPILOG, short_help="What is in a package or an .onnx file?")
@click.argument("package", type=click.Path(path_type=Path))
@json_option
@debug_option
def command(package: Path, as_json: bool) -> None:
    """Show PACKAGE's inputs, outputs, operators, size, variants, and what was measured of it."""
    from edgekit.cli import output as out
    from edgekit.measure.inspection import inspect

    found = inspect(package)
    if as_json:
        from edgekit.report.documents import InspectDocument

        out.print_json(InspectDocument(found))
    else:
        from edgekit.report.inspection import inspected

        inspected(out.console(), found)
