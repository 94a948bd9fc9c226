"""`edgekit quantize`: a variant of fewer bits, with the accuracy that it kept."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import (
    budget_options,
    budgets_of,
    data_options,
    debug_option,
    given,
    json_option,
    synthetic_option,
)
from edgekit.terms import CalibrationMethod, Scheme, Undecided, members

_EPILOG = """\b
Examples:
  edgekit quantize net.edgekit --scheme int8-static --max-drop 0.5pp
  edgekit quantize net.edgekit --scheme int8-dynamic --min-cosine 0.99
  edgekit quantize net.edgekit --scheme int8-static --target portable --name int8
  edgekit quantize net.edgekit --scheme int8-static --calib-data images.npz
  edgekit quantize net.edgekit --scheme int4-weight --block-size 64
  edgekit quantize net.edgekit --scheme fp16 --target tensorrt --keep-float /head/MatMul"""


@click.command(epilog=_EPILOG, short_help="Make a variant of fewer bits, its accuracy measured.")
@click.argument("package", type=click.Path(path_type=Path))
@click.option(
    "--scheme",
    required=True,
    type=click.Choice(members(Scheme)),
    help="How: 16-bit floats for GPUs; 8-bit integers with ranges measured at each call (dynamic) "
    "or beforehand (static); or weights alone in 8 or 4 bits.",
)
@click.option("--name", metavar="NAME", help="What the variant is called.  [default: the scheme]")
@click.option(
    "--target",
    metavar="TARGET",
    help="What it is made for: an execution provider, cpu for the processor at hand, portable for "
    "any of its architecture, or x86-vnni, x86, arm.  [default: cpu for integers, cuda for fp16 "
    "and bf16]",
)
@budget_options
@data_options
@synthetic_option
@click.option(
    "--keep-float",
    "keep_float",
    multiple=True,
    metavar="NODE",
    help="A node that stays in float32; repeat for more.",
)
@click.option(
    "--no-repair",
    is_flag=True,
    help="Look for no nodes to leave in float32 where a budget is missed.",
)
@click.option(
    "--calibration",
    "method",
    type=click.Choice(members(CalibrationMethod)),
    help="How ranges are read off what was measured.  [default: the scheme's choice]",
)
@click.option(
    "--percentile",
    type=click.FloatRange(50, 100, min_open=True),
    metavar="P",
    help="Of the percentile calibration: the share of values inside the range, in percent.",
)
@click.option(
    "--smooth",
    type=click.FloatRange(0, 1),
    metavar="ALPHA",
    help="Move outliers of activations into the weights (SmoothQuant) with this exponent; 0 for "
    "none.  [default: where there are outliers]",
)
@click.option(
    "--bias-correction/--no-bias-correction",
    default=None,
    help="Take back the mean shift of each node in its bias.  [default: the scheme's choice]",
)
@click.option(
    "--block-size",
    type=click.IntRange(min=16),
    metavar="N",
    help="How many weights of a row share a scale; a power of two.  [default: 128 for int8-weight, "
    "32 for int4-weight]",
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
    target: str | None,
    max_drop: str | None,
    min_agreement: str | None,
    min_cosine: str | None,
    undecided: Undecided | None,
    eval_data: str | None,
    calib_data: str | None,
    synthetic: bool,
    keep_float: tuple[str, ...],
    no_repair: bool,
    method: CalibrationMethod | None,
    percentile: float | None,
    smooth: float | None,
    bias_correction: bool | None,
    block_size: int | None,
    variant: str | None,
    overwrite: bool,
    wall_s: float | None,
    as_json: bool,
) -> None:
    """Add a variant of fewer bits to PACKAGE, held against the float one on held-out cases.

    Nodes that can't be in fewer bits, or gain nothing by it, stay in float32, and inputs and
    outputs stay as they are. With a budget, the fewest further nodes stay in float32 with which it
    is kept; where that can't be had, the package stays as it is and the exit code is 3.
    """
    from edgekit.cli import output as out
    from edgekit.quantize import Settings, quantize

    options = given(
        {
            "name": name,
            "target": target,
            "variant": variant,
            "wall_s": wall_s,
            "eval_data": eval_data,
            "calib_data": calib_data,
            "undecided": undecided,
        }
    )
    with out.progress(f"quantizing {package}") as step:
        done = quantize(
            package,
            scheme=scheme,
            keep_float=keep_float,
            settings=Settings(
                method=method,
                percentile=percentile,
                smooth=smooth,
                bias_correction=bias_correction,
                block_size=block_size,
            ),
            synthetic=synthetic,
            budgets=budgets_of(max_drop, min_agreement, min_cosine),
            repair=not no_repair,
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
