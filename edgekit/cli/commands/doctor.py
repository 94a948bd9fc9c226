"""`edgekit doctor`: what this machine can run, what is missing, and how to mend it."""

from __future__ import annotations

import click

from edgekit.cli.options import debug_option, json_option

_EPILOG = """\b
Examples:
  edgekit doctor
  edgekit doctor --json"""


@click.command(epilog=_EPILOG, short_help="What can this machine run, and what is missing?")
@json_option
@debug_option
def command(as_json: bool) -> int:
    """Look at Python, packages, execution providers, processor features and limits.

    Exit code 1 if models can't run here at all.
    """
    from edgekit.cli import output as out
    from edgekit.doctor import examine

    report = examine()
    if as_json:
        out.print_json(report)
    else:
        from edgekit.report.doctor import examined

        examined(out.console(), report)
    return 0 if report.usable else 1
