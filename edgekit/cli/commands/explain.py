"""`edgekit explain`: why a variant is as fast as it is, and whether there is more to win."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import debug_option, given, json_option, session_choice, session_options
from edgekit.terms import Idle

_EPILOG = """\b
Examples:
  edgekit explain net.edgekit
  edgekit explain net.edgekit --variant int8-static --threads 1
  edgekit explain net.edgekit --batch 16 --top 20
  edgekit explain quantized.onnx --parent float.onnx
  edgekit explain net.edgekit --json"""


@click.command(epilog=_EPILOG, short_help="Why is it as fast as it is? Is there more to win?")
@click.argument("package", type=click.Path(path_type=Path))
@click.option(
    "--variant",
    "variants",
    multiple=True,
    metavar="NAME",
    help="Explain this variant, also where it is faster; repeat for more.  [default: all that "
    "take the same inputs as the first]",
)
@click.option(
    "--parent",
    type=click.Path(path_type=Path),
    metavar="FILE.onnx",
    help="The float model that PACKAGE, an .onnx file, was made from.",
)
@session_options
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    metavar="N",
    help="Batch size.  [default: 1, or the lowest that there is]",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many nodes are shown of each; --json has them all.  [default: 8]",
)
@click.option(
    "--fresh-peaks",
    is_flag=True,
    help="Measure again what this machine can do at most, and forget what is kept of it.",
)
@json_option
@debug_option
def command(
    package: Path,
    variants: tuple[str, ...],
    parent: Path | None,
    provider: str | None,
    provider_options: tuple[str, ...],
    library: str | None,
    threads: int | None,
    idle: Idle | None,
    strict: bool,
    batch: int | None,
    top: int | None,
    fresh_peaks: bool,
    as_json: bool,
) -> None:
    """Say which share of what this machine can do the variants of PACKAGE reach, and why those that
    are slower than the float one are.

    Each runs beside its float parent, and once more under ONNX Runtime's profile. The machine's
    peaks are measured once, and again where something is faster: matrix products in float32 and in
    int8, and passes over memory. Where nodes would win in float, the command that leaves them there
    is named.
    """
    from edgekit.cli import output as out
    from edgekit.measure.slowness.explaining import explain
    from edgekit.measure.ways import How

    choice = session_choice(provider, provider_options, threads=threads, idle=idle)
    with out.progress(f"explaining {package}") as step:
        found = explain(
            package,
            variants=variants,
            parent=parent,
            how=How(choice, library=library, strict=strict),
            batch=batch,
            fresh_peaks=fresh_peaks,
            progress=step,
        )
    if as_json:
        from edgekit.report.documents import ExplainDocument

        out.print_json(ExplainDocument(str(package), found))
    else:
        from edgekit.report.explain import explained

        explained(out.console(), found, path=str(package), **given({"top": top}))
