"""`edgekit slim`: what goes to the device."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import debug_option, given, json_option

_EPILOG = """\b
Examples:
  edgekit slim net.edgekit -o device.edgekit
  edgekit slim net.edgekit --with-portable -o device.edgekit
  edgekit slim net.edgekit --variant fp16 --cases 1 -o device.edgekit --json"""


@click.command(epilog=_EPILOG, short_help="Copy what goes to the device, and nothing else.")
@click.argument("package", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where to write the new package.",
)
@click.option(
    "--variant",
    "variants",
    multiple=True,
    metavar="NAME",
    help="Keep this variant; repeat for more. 'tuned' is what was chosen on this kind of machine."
    "  [default: tuned]",
)
@click.option(
    "--with-portable",
    is_flag=True,
    help="Keep the first variant too, which is right on every processor.",
)
@click.option(
    "--cases",
    type=click.IntRange(min=1),
    metavar="N",
    help="Reference cases to keep.  [default: 3]",
)
@click.option("--keep-evaluation", is_flag=True, help="Keep the held-out cases.")
@click.option("--overwrite", is_flag=True, help="Replace the package that is there.")
@json_option
@debug_option
def command(
    package: Path,
    output: Path,
    variants: tuple[str, ...],
    with_portable: bool,
    cases: int | None,
    keep_evaluation: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Copy PACKAGE with few of its variants and cases, for the device that runs it.

    What was chosen by `edgekit tune` goes along as far as it is about what is kept, so that
    `edgekit.load` takes it there; calibration data stay behind. PACKAGE itself isn't changed.
    """
    from edgekit.cli import output as out
    from edgekit.package.slim import slim

    with out.progress(f"copying {package}"):
        done = slim(
            package,
            output,
            with_portable=with_portable,
            keep_evaluation=keep_evaluation,
            overwrite=overwrite,
            **given({"variants": variants or None, "cases": cases}),
        )
    if as_json:
        from edgekit.report.documents import SlimDocument

        out.print_json(SlimDocument(str(output), done))
    else:
        from edgekit.report.slim import slimmed

        slimmed(out.console(), str(output), done)
