"""`edgekit inspect`: what is in a package or an .onnx file."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import debug_option, json_option, session_choice, session_options
from edgekit.terms import Idle

_EPILOG = """\b
Examples:
  edgekit inspect net.edgekit
  edgekit inspect net.edgekit --provider cuda --strict
  edgekit inspect elsewhere.onnx --json"""


@click.command(epilog=_EPILOG, short_help="What is in a package or an .onnx file?")
@click.argument("package", type=click.Path(path_type=Path))
@session_options
@json_option
@debug_option
def command(
    package: Path,
    provider: str | None,
    provider_options: tuple[str, ...],
    library: str | None,
    threads: int | None,
    idle: Idle | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Show PACKAGE's inputs, outputs, operators, size, variants, and what was measured of it.

    With --provider, or any other option of a session, every variant is loaded, and it is shown
    which nodes run where.
    """
    from edgekit.cli import output as out
    from edgekit.measure.inspection import inspect
    from edgekit.measure.placements import placements
    from edgekit.measure.ways import How

    found = inspect(package)
    loaded = None
    asked = (provider, provider_options or None, library, threads, idle, strict or None)
    if any(option is not None for option in asked):
        choice = session_choice(provider, provider_options, threads=threads, idle=idle)
        how = How(choice, library, strict)
        with out.progress(f"loading {package}"):
            loaded = placements(package, how)
    if as_json:
        from edgekit.report.documents import InspectDocument

        out.print_json(InspectDocument(found, loaded))
    else:
        from edgekit.report.inspection import inspected
        from edgekit.report.placement import placed

        inspected(out.console(), found)
        if loaded is not None:
            placed(out.console(), loaded)
