"""`edgekit optimize`: a faster float variant with the same numbers, if there is one here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from edgekit.cli.options import debug_option, given, json_option, named_values
from edgekit.terms import Pass, members

_EPILOG = """\b
Examples:
  edgekit optimize net.edgekit
  edgekit optimize net.edgekit --passes constants,attention,norm-sums
  edgekit optimize net.edgekit --fix batch=1 --name batch-1
  edgekit optimize net.edgekit --keep-all --overwrite
  edgekit optimize --list"""


@click.command(epilog=_EPILOG, short_help="Make a faster variant with the same numbers.")
@click.argument("package", type=click.Path(path_type=Path), required=False)
@click.option("--name", metavar="NAME", help="What the variant is called.  [default: optimized]")
@click.option(
    "--passes", metavar="A,B", help="Which passes to try, in this order.  [default: all of --list]"
)
@click.option(
    "--fix",
    "fix",
    multiple=True,
    metavar="DIM=SIZE",
    help="Fix a dynamic dimension: the variant takes no other size; repeat for more.",
)
@click.option(
    "--variant",
    metavar="NAME",
    help="The float32 variant that it is made from.  [default: portable]",
)
@click.option(
    "--keep-all", is_flag=True, help="Keep passes that gain nothing here too, if they are equal."
)
@click.option("--overwrite", is_flag=True, help="Replace the variant of that name.")
@click.option("--list", "as_list", is_flag=True, help="Say what each pass does, and stop.")
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
    package: Path | None,
    name: str | None,
    passes: str | None,
    fix: tuple[str, ...],
    variant: str | None,
    keep_all: bool,
    overwrite: bool,
    as_list: bool,
    wall_s: float | None,
    as_json: bool,
) -> None:
    """Add a faster float variant to PACKAGE, its answers equal on the reference cases.

    Each pass is tried on what the ones before it left, and kept if its answers are equal and it is
    faster here by more than the timing is unsure of. Where none is, nothing is added.
    """
    from edgekit.cli import output as out

    if as_list:
        _list(as_json=as_json)
        return
    if package is None:
        raise click.MissingParameter(param_type="argument", param_hint="'PACKAGE'")
    from edgekit.optimize import optimize

    sizes = _sizes(fix)
    options = given(
        {
            "name": name,
            "passes": None if passes is None else [one.strip() for one in passes.split(",")],
            "sizes": sizes or None,
            "variant": variant,
            "wall_s": wall_s,
        }
    )
    with out.progress(f"optimizing {package}") as step:
        done = optimize(package, keep_all=keep_all, overwrite=overwrite, progress=step, **options)
    if as_json:
        from edgekit.report.documents import OptimizeDocument

        out.print_json(OptimizeDocument(str(package), done))
    else:
        from edgekit.report.optimize import optimized

        optimized(out.console(), str(package), done)


def _sizes(texts: Sequence[str]) -> dict[str, int]:
    from edgekit.errors import BadValue

    sizes = {}
    for name, text in named_values(texts, option="--fix").items():
        if not text.isascii() or not text.isdigit():
            raise BadValue(what="--fix", asked=f"{name}={text}", expected="a whole number")
        sizes[name] = int(text)
    return sizes


def _list(*, as_json: bool) -> None:
    from edgekit.cli import output as out
    from edgekit.optimize.pass_info import find
    from edgekit.report.documents import OptimizeDocument, PassDocument
    from edgekit.report.optimize import listed

    found = tuple(
        PassDocument(name=info.name, summary=info.summary, bound=info.bound)
        for info in map(find, members(Pass))
    )
    if as_json:
        out.print_json(OptimizeDocument(passes=found))
    else:
        listed(out.console(), found)
