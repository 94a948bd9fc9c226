"""`edgekit sensitivity`: which nodes lose most when a model is quantized."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from edgekit.cli.options import debug_option, given, json_option
from edgekit.terms import Grain, Scheme, members

_EPILOG = """\b
Examples:
  edgekit sensitivity net.edgekit
  edgekit sensitivity net.edgekit --by group --scheme int8-dynamic
  edgekit sensitivity net.edgekit --calib-data images.npz --cases 32 --top 50
  edgekit sensitivity net.edgekit --json"""


@click.command(epilog=_EPILOG, short_help="Rank nodes by what quantizing each costs.")
@click.argument("package", type=click.Path(path_type=Path))
@click.option(
    "--scheme",
    type=click.Choice(members(Scheme)),
    help="How they would be quantized.  [default: int8-static]",
)
@click.option(
    "--target",
    metavar="TARGET",
    help="What the variant would be made for, as in 'edgekit quantize'.",
)
@click.option(
    "--variant",
    metavar="NAME",
    help="The float32 variant that is looked at.  [default: portable]",
)
@click.option(
    "--by",
    type=click.Choice(members(Grain)),
    help="Quantize each node alone, or each group of nodes that belong together.  [default: node]",
)
@click.option(
    "--calib-data",
    metavar="DATA",
    help="Real inputs instead of the package's own: an .npz, a folder, a .parquet, or "
    "file.py:factory.",
)
@click.option(
    "--synthetic",
    is_flag=True,
    help="Make values up where there are no real ones; what is measured so says it.",
)
@click.option(
    "--cases",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many cases are run for each.  [default: 8]",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many rows are shown; --json has them all.  [default: 20]",
)
@click.option(
    "--time-limit",
    "wall_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Stop measuring after this long; the rest has an estimate alone.  [default: 600]",
)
@json_option
@debug_option
def command(
    package: Path,
    scheme: Scheme | None,
    target: str | None,
    variant: str | None,
    by: Grain | None,
    calib_data: str | None,
    synthetic: bool,
    cases: int | None,
    top: int | None,
    wall_s: float | None,
    as_json: bool,
) -> None:
    """Rank the nodes of PACKAGE by what quantizing each alone costs at the model's output.

    Each is quantized with all others left in float, and the model that is so written is run beside
    the float one. Beside that stands how much longer a run takes with the node left in float, and
    an estimate from the node's own output.
    """
    from edgekit.cli import output as out
    from edgekit.quantize.searching.sensitivity import sensitivity

    typed = given({"target": target, "variant": variant, "calib_data": calib_data})
    options = given({"scheme": scheme, "by": by, "cases": cases, "wall_s": wall_s})
    with out.progress(f"measuring the sensitivity of {package}") as step:
        found = sensitivity(package, synthetic=synthetic, progress=step, **typed, **options)
    if as_json:
        from edgekit.report.documents import SensitivityDocument

        out.print_json(SensitivityDocument(str(package), found))
    else:
        from edgekit.report.sensitivity import ranked

        again = [f"--{name.replace('_', '-')} {shlex.quote(v)}" for name, v in typed.items()]
        again += ["--synthetic"] if synthetic else []
        ranked(out.console(), str(package), found, again=again, **given({"top": top}))
