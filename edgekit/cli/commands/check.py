"""`edgekit check`: is a package right on this machine?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import debug_option, json_option, said, session_choice, session_options
from edgekit.terms import Idle

if TYPE_CHECKING:
    from edgekit.runtime.checks import CheckReport

_EPILOG = """\b
Examples:
  edgekit check net.edgekit
  edgekit check net.edgekit --variant fp32 --json
  edgekit check net.edgekit --variant tuned"""


@click.command(epilog=_EPILOG, short_help="Is a package right on this machine?")
@click.argument("package", type=click.Path(path_type=Path))
@click.option(
    "--variant",
    metavar="NAME",
    help="Which variant to check; 'tuned' is what was chosen, run as it was chosen."
    "  [default: every one]",
)
@session_options
@json_option
@debug_option
def command(
    package: Path,
    variant: str | None,
    provider: str | None,
    provider_options: tuple[str, ...],
    library: str | None,
    threads: int | None,
    idle: Idle | None,
    strict: bool,
    as_json: bool,
) -> int:
    """Run PACKAGE's reference cases here and compare with what the original answered.

    Each variant answers the cases of its graph. Every file is hashed first. Exit code 3 if an
    answer is off.
    """
    from edgekit.cli import output as out
    from edgekit.errors import GateFailed, ProviderUnfit
    from edgekit.measure.given import made_up_notes
    from edgekit.measure.ways import How, settle
    from edgekit.package import reading
    from edgekit.package.values import TUNED
    from edgekit.runtime.loading import open_model, variant_names

    notes = []
    if variant == TUNED:
        from edgekit.runtime.tuned import tuned

        typed = said(provider, provider_options, threads=threads, idle=idle, library=library)
        chosen = tuned(package, typed)[0].choice
        variant, choice = chosen.variant, chosen.session
        notes.append(f"{chosen.variant}: {chosen.reason}")
    else:
        choice = session_choice(provider, provider_options, threads=threads, idle=idle)
    how, note = settle(How(choice, library, strict))
    notes += [note] if note else []
    reports: list[CheckReport] = []
    with out.progress(f"checking {package}"):
        for name in [variant] if variant is not None else variant_names(package):
            # The first time round hashes whatever the package lists; a variant's own files are
            # hashed whenever it is opened.
            try:
                with open_model(
                    package,
                    name,
                    how.session,
                    verify=not reports,
                    strict=strict,
                    library=library,
                ) as model:
                    reports.append(model.check())
            except ProviderUnfit as unfit:
                if variant is not None:
                    raise
                notes.append(f"{name} is left out: {unfit}")
    checked_ones = {report.variant for report in reports}
    notes += made_up_notes([v for v in reading.read(package).variants if v.name in checked_ones])
    passed = all(report.passed for report in reports)
    if as_json:
        from edgekit.report.documents import CheckDocument

        out.print_json(CheckDocument(passed, reports, "; ".join(notes)))
    else:
        from edgekit.report.terminal import checked

        checked(out.console(), reports, note="; ".join(notes))
    return 0 if passed else GateFailed.exit_code
