"""`edgekit report`: what was measured of a package, as a page, for a pull request, or as a card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import debug_option, json_option

if TYPE_CHECKING:
    from edgekit.report.evidence import Known

_EPILOG = """\b
Examples:
  edgekit report net.edgekit -o report.html
  edgekit report net.edgekit --markdown >> summary.md
  edgekit report net.edgekit --card -o README.md
  edgekit report net.edgekit --machine amd-epyc-avx2-2c-12345678"""


@click.command(epilog=_EPILOG, short_help="Show what was measured, in one file.")
@click.argument("package", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where it goes; a file that is there is replaced.  [default: ./NAME.report.html; text to "
    "stdout]",
)
@click.option("--markdown", is_flag=True, help="Write short tables for a pull request instead.")
@click.option(
    "--card", is_flag=True, help="Write a model card instead, with Hugging Face's headings."
)
@click.option(
    "--machine",
    metavar="KEY",
    help="The kind of machine whose figures are shown.  [default: this one, or the only one]",
)
@json_option
@debug_option
def command(
    package: Path,
    output: Path | None,
    markdown: bool,
    card: bool,
    machine: str | None,
    as_json: bool,
) -> None:
    """Show what was measured of PACKAGE: one HTML file with all plots, which opens offline.

    It holds what 'edgekit bench', 'tune', 'sensitivity' and 'explain' left beside the package:
    latencies, accuracy, what is worth choosing, why, and how near it comes to the machine's limit.
    """
    from edgekit.cli import output as out
    from edgekit.errors import BadValue

    forms = [
        name
        for name, on in {"--markdown": markdown, "--card": card, "--json": as_json}.items()
        if on
    ]
    if len(forms) > 1:
        raise BadValue(what="a report", asked=" and ".join(forms), expected="one of them")
    if card:
        if machine is not None:
            raise BadValue(
                what="--machine",
                asked="given with --card",
                expected="neither or one: a card has all",
            )
        from edgekit.report.card import card_of

        out.write_text(card_of(package), output)
        return
    from edgekit.report.evidence import gather

    known = gather(package, machine=machine)
    if as_json:
        from edgekit.report.documents import ReportDocument

        out.print_json(ReportDocument(str(package), known))
    elif markdown:
        from edgekit.report.pull_request import in_short

        out.write_text(in_short(known), output)
    else:
        _page(known, output)


def _page(known: Known, output: Path | None) -> None:
    from edgekit.cli import output as out
    from edgekit.report.figures import size
    from edgekit.report.html.page import file_name, page

    path = output or Path(f"{file_name(known)}.report.html")
    text = page(known)
    out.write_text(text, path)
    click.echo(f"{path}  {size(len(text.encode()))}: open it in a browser")
