"""`edgekit check`: is a package right on this machine?"""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import debug_option, given, json_option, session_options
from edgekit.terms import Idle

_EPILOG = """\b
Examples:
  edgekit check net.edgekit
  edgekit check net.edgekit --variant fp32 --json"""


@click.command(epilog=_EPILOG, short_help="Is a package right on this machine?")
@click.argument("package", type=click.Path(path_type=Path))
@click.option("--variant", metavar="NAME", help="Which variant to check.  [default: portable]")
@session_options
@json_option
@debug_option
def command(
    package: Path,
    variant: str | None,
    provider: str | None,
    threads: int | None,
    idle: Idle | None,
    as_json: bool,
) -> int:
    """Run PACKAGE's reference cases here and compare with what the original answered.

    Every file is hashed first. Exit code 3 if an answer is off.
    """
    import edgekit
    from edgekit.cli import output as out
    from edgekit.errors import GateFailed

    options = given({"variant": variant, "provider": provider, "threads": threads, "idle": idle})
    with (
        out.progress(f"checking {package}"),
        edgekit.load(package, verify=True, **options) as model,
    ):
        report = model.check()
    if as_json:
        from edgekit.report.documents import CheckDocument

        out.print_json(CheckDocument(passed=report.passed, check=report))
    else:
        from edgekit.report.terminal import checked

        checked(out.console(), report)
    return 0 if report.passed else GateFailed.exit_code
