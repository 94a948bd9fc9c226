"""`edgekit cache`: what is kept between runs, and how to fill it and be rid of it."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import (
    debug_option,
    given,
    json_option,
    provider_options,
    session_choice,
)

_EPILOG = """\b
Examples:
  edgekit cache list
  edgekit cache warm net.edgekit --provider tensorrt
  edgekit cache clear --older-than 30"""

_LIST_EPILOG = """\b
Examples:
  edgekit cache list
  edgekit cache list --json"""

_CLEAR_EPILOG = """\b
Examples:
  edgekit cache clear
  edgekit cache clear net.edgekit --provider tensorrt
  edgekit cache clear --older-than 30
  edgekit cache clear --all"""

_WARM_EPILOG = """\b
Examples:
  edgekit cache warm net.edgekit --provider tensorrt
  edgekit cache warm net.edgekit --provider tensorrt --variant fp16 --batch 8"""


@click.group(epilog=_EPILOG, short_help="What is kept between runs, such as TensorRT's engines?")
def command() -> None:
    """List, fill and clear the cache folder.

    It is ~/.cache/edgekit on Linux, or the one that the environment variable EDGEKIT_CACHE names.
    All of it can be made again. What providers such as TensorRT compile, which takes minutes, is
    kept there for the model, options, GPU, driver and versions that it was compiled for.
    """


@command.command("list", epilog=_LIST_EPILOG, short_help="What is there, and how large is it?")
@json_option
@debug_option
def list_(as_json: bool) -> None:
    """List what providers have built, whether it is used here, and what else is kept."""
    from edgekit.cli import output as out
    from edgekit.compiled import cached
    from edgekit.report import cache as report

    found = cached.contents()
    if as_json:
        out.print_json(report.CacheListDocument(found))
    else:
        report.listed(out.console(), found)


@command.command(epilog=_CLEAR_EPILOG, short_help="Remove what providers have built, or all.")
@click.argument("package", required=False, type=click.Path(path_type=Path))
@click.option("--provider", metavar="NAME", help="Only what this execution provider built.")
@click.option(
    "--older-than",
    "older_than_days",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="Only what was built longer ago.",
)
@click.option(
    "--all", "everything", is_flag=True, help="Also weights, reports and all else that is kept."
)
@json_option
@debug_option
def clear(
    package: Path | None,
    provider: str | None,
    older_than_days: float | None,
    everything: bool,
    as_json: bool,
) -> None:
    """Remove what providers have built; only for PACKAGE where one is given.

    What is being built or in use just now stays, and so does what another user owns.
    """
    from edgekit.cli import output as out
    from edgekit.compiled import clearing
    from edgekit.errors import BadValue
    from edgekit.report import cache as report

    conditions = given(
        {"package": package, "provider": provider, "older_than_days": older_than_days}
    )
    if everything and conditions:
        raise BadValue(
            what="--all",
            asked="given together with a package, --provider or --older-than",
            expected="either, since these are only about what providers have built",
        )
    gone = clearing.clear(everything=everything, **conditions)
    if as_json:
        out.print_json(report.CacheClearDocument(gone))
    else:
        report.cleared(out.console(), gone)


@command.command(epilog=_WARM_EPILOG, short_help="Build before the app starts.")
@click.argument("package", type=click.Path(path_type=Path))
@click.option(
    "--provider",
    required=True,
    metavar="NAME",
    help="The execution provider to build for: one that compiles models, such as tensorrt.",
)
@provider_options
@click.option("--variant", metavar="NAME", help="Which variant to build.  [default: portable]")
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    metavar="N",
    help="Rows of the call that is made then.  [default: 1, or the lowest that there is]",
)
@click.option(
    "--time-limit",
    "wall_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="End it if it takes longer.  [default: 3600]",
)
@json_option
@debug_option
def warm(
    package: Path,
    provider: str,
    provider_options: tuple[str, ...],
    library: str | None,
    variant: str | None,
    batch: int | None,
    wall_s: float | None,
    as_json: bool,
) -> None:
    """Open PACKAGE on a provider that compiles it, and keep what it builds.

    The next start with the same options takes it from the cache folder, if NVIDIA_TF32_OVERRIDE is
    the same in its environment as in this one.
    """
    from edgekit.cli import output as out
    from edgekit.measure.warming import warm as build
    from edgekit.measure.ways import How
    from edgekit.report import cache as report

    session = session_choice(provider, provider_options, threads=None, idle=None)
    how = How(session, library)
    with out.progress(f"opening {package} on {provider}"):
        done = build(package, how, **given({"variant": variant, "batch": batch, "wall_s": wall_s}))
    if as_json:
        out.print_json(report.CacheWarmDocument(done))
    else:
        report.warmed(out.console(), done)
