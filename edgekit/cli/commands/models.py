"""`edgekit models`: the reference models, and what each can be told."""

from __future__ import annotations

import click

from edgekit.cli.options import debug_option, json_option

_EPILOG = """\b
Examples:
  edgekit models
  edgekit models --json
  edgekit export rnn -p cell=gru -p num_layers=2"""


@click.command(epilog=_EPILOG, short_help="Which reference models are there to export?")
@json_option
@debug_option
def command(as_json: bool) -> None:
    """List the reference models, each with its parameters and their defaults.

    `edgekit export NAME` trains one where there is data for it, and keeps the weights. A parameter
    is set with -p PARAMETER=VALUE.
    """
    import msgspec

    from edgekit.cli import output as out
    from edgekit.cli.originals import own_exporters
    from edgekit.report.documents import ModelsDocument, ReferenceModel

    own_exporters()
    from exporters import models

    found = msgspec.convert(models.described(), tuple[ReferenceModel, ...], from_attributes=True)
    if as_json:
        out.print_json(ModelsDocument(found))
    else:
        from edgekit.report.models import listed

        listed(out.console(), found)
