"""`edgekit doctor`: what this machine can run, what is missing, and how to mend it."""

from __future__ import annotations

import click

from edgekit.cli.options import debug_option, json_option

_EPILOG = """\b
Examples:
  edgekit doctor
  edgekit doctor --provider cuda
  edgekit doctor --json"""


@click.command(epilog=_EPILOG, short_help="What can this machine run, and what is missing?")
@click.option(
    "--provider",
    metavar="NAME",
    help="Look at one execution provider; exit code 1 if it can't be used here.",
)
@click.option(
    "--provider-library",
    metavar="PATH",
    type=click.Path(),
    help="The library of a plug-in provider; --provider then names what it registers.",
)
@json_option
@debug_option
def command(provider: str | None, provider_library: str | None, as_json: bool) -> int:
    """Look at Python, packages, execution providers, GPUs, processor features and limits.

    Exit code 1 if models can't run here at all.
    """
    from edgekit.cli import output as out
    from edgekit.doctor import examine, examine_provider

    if provider_library is not None and provider is None:
        raise click.UsageError("--provider-library needs --provider, the name that it registers.")
    report = examine_provider(provider, library=provider_library) if provider else examine()
    if as_json:
        out.print_json(report)
    else:
        from edgekit.report.doctor import examined

        examined(out.console(), report)
    return 0 if report.usable else 1
