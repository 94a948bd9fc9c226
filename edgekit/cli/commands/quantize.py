"""`edgekit quantize`: a variant of fewer bits, with the accuracy that it kept."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import debug_option, given, json_option
from edgekit.terms import Scheme, members

_EPILOG = """\b
Examples:
  edgekit quantize net.edgekit --scheme fp16
  edgekit quantize net.edgekit --scheme fp16 --target tensorrt --name fp16-trt
  edgekit quantize net.edgekit --scheme fp16 --keep-float /head/MatMul --overwrite"""


@click.command(epilog=_EPILOG, short_help="Make a variant of fewer bits, its accuracy measured.")
@click.argument("package", type=click.Path(path_type=Path))
@click.option(
    "--scheme",
    required=True,
    type=click.Choice(members(Scheme)),
    help="How: fp16 computes in 16-bit floats, for GPUs.",
)
@click.option("--name", metavar="NAME", help="What the variant is called.  [default: the scheme]")
@click.option(
    "--keep-float",
    "keep_float",
    multiple=True,
    metavar="NODE",
    help="A node that stays in float32; repeat for more.",
)
@click.option(
    "--target",
    metavar="PROVIDER",
    help="The execution provider that it is made for.  [default: cuda for fp16]",
)
@click.option(
    "--variant",
    metavar="NAME",
    help="The float32 variant that it is made from.  [default: portable]",
)
@click.option("--overwrite", is_flag=True, help="Replace the variant of that name.")
@click.option(
    "--time-limit",
    "wall_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="End a process that takes longer to load, or for one run.  [default: 600]",
)
@json_option
@debug_option
def command(
    package: Path,
    scheme: Scheme,
    name: str | None,
    keep_float: tuple[str, ...],
    target: str | None,
    variant: str | None,
    overwrite: bool,
    wall_s: float | None,
    as_json: bool,
) -> None:
    """Add a variant of fewer bits to PACKAGE, held against the float one on held-out cases.

    Nodes whose values the new type can't hold stay in float32. Inputs and outputs stay as they are.
    """
    from edgekit.cli import output as out
    from edgekit.quantize import quantize

    options = given({"name": name, "target": target, "variant": variant, "wall_s": wall_s})
    with out.progress(f"quantizing {package}") as step:
        done = quantize(
            package,
            scheme=scheme,
            keep_float=keep_float,
            overwrite=overwrite,
            progress=step,
            **options,
        )
    if as_json:
        from edgekit.report.documents import QuantizeDocument

        out.print_json(QuantizeDocument(str(package), done))
    else:
        from edgekit.report.quantize import quantized

        quantized(out.console(), str(package), done)
