"""`edgekit tune`: the fastest variant that keeps its accuracy, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgekit.cli.options import (
    budget_options,
    budgets_of,
    data_options,
    debug_option,
    given,
    json_option,
    named_values,
    seconds,
    source_options,
    synthetic_option,
)
from edgekit.terms import Task, Undecided

_EPILOG = """\b
Examples:
  edgekit tune cnn
  edgekit tune net.edgekit --max-drop 0.5pp --time-limit 2m
  edgekit tune net.edgekit --provider cpu --provider openvino
  edgekit tune net.edgekit --batch 16 --eval-data held-out.npz
  edgekit tune timm:resnet50 --synthetic --min-cosine 0.99
  edgekit tune net.edgekit --dry-run"""


@click.command(epilog=_EPILOG, short_help="Find the fastest variant that keeps its accuracy.")
@click.argument("target")
@click.option(
    "--provider",
    "providers",
    multiple=True,
    metavar="NAME",
    help="Search on this execution provider; repeat for more.  [default: all that can be used]",
)
@budget_options
@click.option(
    "--time-limit",
    "time_limit_s",
    callback=seconds,
    metavar="TIME",
    help="How long the search may take: 120s, 2m, 90; the export of a TARGET before it doesn't "
    "count.  [default: as long as it takes]",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    metavar="N",
    help="The rows of a timed call.  [default: 1, or the lowest that there is]",
)
@data_options
@synthetic_option
@click.option("--dry-run", is_flag=True, help="List what would be tried, and make nothing.")
@click.option(
    "--keep-all", is_flag=True, help="Leave every variant in the package that was made on the way."
)
@click.option("--fresh", is_flag=True, help="Measure again what an earlier search measured.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Of a TARGET to export: the package's folder.  [default: ./NAME.edgekit]",
)
@click.option(
    "-p",
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="Of a TARGET to export: a parameter of its factory.",
)
@click.option(
    "--dynamic",
    multiple=True,
    metavar="INPUT=AXES",
    help="Of a TARGET to export: axes whose size may change, see edgekit export.",
)
@source_options
@json_option
@debug_option
def command(
    target: str,
    providers: tuple[str, ...],
    max_drop: str | None,
    min_agreement: str | None,
    min_cosine: str | None,
    undecided: Undecided | None,
    time_limit_s: float | None,
    batch: int | None,
    eval_data: str | None,
    calib_data: str | None,
    synthetic: bool,
    dry_run: bool,
    keep_all: bool,
    fresh: bool,
    output: Path | None,
    params: tuple[str, ...],
    dynamic: tuple[str, ...],
    task: Task | None,
    pretrained: bool,
    weights: Path | None,
    as_json: bool,
) -> None:
    """Find what runs TARGET fastest on this machine without losing more than it may.

    TARGET is a package, or anything that `edgekit export` takes, which is then exported first.
    Variants that are worth a try are made, those that lose too much are left out, and the rest is
    raced against the float variant. The winner is what `edgekit.load` takes on machines of this
    kind; where nothing is faster by more than noise, that is the float variant. Interrupted, it
    goes on where it was when it is run again.
    """
    from edgekit.cli import output as out
    from edgekit.tune import outline, tune

    source = given(
        {
            "task": task,
            "pretrained": pretrained or None,
            "weights": None if weights is None else str(weights),
            "dynamic": dynamic or None,
        }
    )
    with out.progress(f"tuning {target}") as step:
        path = _package(target, output, named_values(params, option="-p"), source, dry_run=dry_run)
        asked = given(
            {
                "undecided": undecided,
                "batch": batch,
                "eval_data": eval_data,
                "calib_data": calib_data,
            }
        )
        asked |= {
            "providers": providers,
            "budgets": budgets_of(max_drop, min_agreement, min_cosine),
            "synthetic": synthetic,
        }
        if dry_run:
            plan = outline(path, **asked)
        else:
            done = tune(
                path,
                time_limit_s=time_limit_s,
                keep_all=keep_all,
                fresh=fresh,
                progress=step,
                **asked,
            )
    if as_json:
        from edgekit.report.documents import TuneDocument

        out.print_json(
            TuneDocument(str(path), outline=plan) if dry_run else TuneDocument(str(path), done)
        )
        return
    from edgekit.report.tune import outlined, tuned

    if dry_run:
        outlined(out.console(), str(path), plan)
    else:
        tuned(out.console(), str(path), done)


def _package(
    target: str,
    output: Path | None,
    parameters: dict[str, str],
    source: dict[str, Any],
    *,
    dry_run: bool,
) -> Path:
    """Find the package that a target names, exported first where it isn't one."""
    from edgekit.errors import BadValue
    from edgekit.package import reading

    path = Path(target)
    if path.is_dir() or target.endswith(".edgekit"):
        if output is not None or parameters or source:
            raise BadValue(
                what=f"a search on {target}, which is a package",
                asked="given options of an export",
                expected="them with a TARGET that is exported first",
            )
        return path
    plain = target.lower().endswith(".onnx")
    if plain and not parameters and not source:
        folder = output or Path(f"{path.stem}.edgekit")
    else:
        from edgekit.cli.originals import own_exporters

        own_exporters()
        from exporters.pytorch import export_target, usual_folder

        folder = output or usual_folder(target)
    if reading.is_package(folder):
        return _exported_before(folder, target, parameters, source)
    if dry_run:
        raise BadValue(
            what="a dry run",
            asked=f"of {target}, which isn't exported yet",
            expected=f"a package: edgekit export {target} makes one",
        )
    if plain and not parameters and not source:
        from edgekit.measure.adopt import adopt

        adopt(path, folder)
    else:
        export_target(target, folder, parameters=parameters, **source)
    return folder


def _exported_before(
    folder: Path, target: str, parameters: dict[str, str], source: dict[str, Any]
) -> Path:
    """Go on with a package that the same command made before: an interrupted search does so.

    Raises:
        BadValue: the package is of something else, or was exported in another way.
    """
    import logging

    from edgekit.errors import BadValue
    from edgekit.package import reading

    package = reading.read(folder)
    made = package.provenance
    stem = Path(target).stem if target.lower().endswith(".onnx") else target
    same = made.parameters == parameters and made.pretrained == source.get("pretrained", False)
    if stem not in (made.source, Path(made.source).stem) or not same or "weights" in source:
        raise BadValue(
            what=f"a search on {target}",
            asked=f"done in {folder}, where there is another package, of {made.source}",
            expected=f"-o with another folder, or edgekit tune {folder} to search on that one",
        )
    logging.getLogger("edgekit").info("%s is there already: going on with it", folder)
    return folder
