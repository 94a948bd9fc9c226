"""`edgekit export`: a PyTorch module, or an .onnx from elsewhere, into a model package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.options import (
    data_options,
    debug_option,
    given,
    json_option,
    named_values,
    source_options,
)
from edgekit.terms import ExportStrategy, Task, members

if TYPE_CHECKING:
    from edgekit.package.values import Package

_EPILOG = """\b
Examples:
  edgekit export cnn --with-preprocessing
  edgekit export rnn -p cell=tanh
  edgekit export net.py:make -p width=64 --dynamic image=batch:1..64
  edgekit export timm:resnet50 --weights resnet50.safetensors
  edgekit export hf:./checkpoint --task sequence-classification
  edgekit export elsewhere.onnx --eval-data held-out.npz --calib-data train.npz"""


@click.command(epilog=_EPILOG, short_help="Make a model package, verified against its original.")
@click.argument("target")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The package's folder.  [default: ./NAME.edgekit]",
)
@click.option(
    "-p",
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the factory; repeat for more.",
)
@click.option(
    "--dynamic",
    multiple=True,
    metavar="INPUT=AXES",
    help="Name the axes whose size may change, with a range: image=batch:1..64,_,_,_.",
)
@source_options
@data_options
@click.option(
    "--strategy",
    type=click.Choice(members(ExportStrategy)),
    help="The one way to export that is tried.  [default: each in turn]",
)
@click.option(
    "--with-preprocessing",
    is_flag=True,
    help="Add a variant that takes an image's pixels: uint8 of height × width × channel.",
)
@click.option(
    "--opset", type=int, metavar="N", help="ONNX operator set, exactly this one.  [default: 20]"
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    metavar="SHARE",
    help="Allowed difference, as a share of an output's largest value, instead of the measured "
    "bound.",
)
@click.option("--external-data", is_flag=True, help="Keep the weights in a file beside the .onnx.")
@click.option("--overwrite", is_flag=True, help="Replace the package at the output.")
@click.option("--seed", type=int, metavar="N", help="Seed of random numbers.  [default: 0]")
@click.option(
    "--time-limit",
    "time_limit_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="End an export that takes longer.  [default: 1800]",
)
@json_option
@debug_option
def command(
    target: str,
    output: Path | None,
    params: tuple[str, ...],
    dynamic: tuple[str, ...],
    task: Task | None,
    pretrained: bool,
    weights: Path | None,
    eval_data: str | None,
    calib_data: str | None,
    strategy: ExportStrategy | None,
    with_preprocessing: bool,
    opset: int | None,
    tolerance: float | None,
    external_data: bool,
    overwrite: bool,
    seed: int | None,
    time_limit_s: float | None,
    as_json: bool,
) -> None:
    """Export TARGET to a model package, verified against its original.

    TARGET is a reference model (`edgekit models` lists them), FILE.py:FACTORY,
    PACKAGE.MODULE:FACTORY, timm:NAME, hf:FOLDER (or a name on the hub), a program that torch.export
    saved (.pt2), or an .onnx file from elsewhere, which is packed as it is. A factory returns a
    module and its example inputs, or an exporters.exportable.Exportable.
    """
    from edgekit.cli import output as out

    options = given(
        {
            "opset": opset,
            "tolerance": tolerance,
            "seed": seed,
            "time_limit_s": time_limit_s,
            "external_data": external_data or None,
            "task": task,
            "pretrained": pretrained or None,
            "weights": None if weights is None else str(weights),
            "eval_data": eval_data,
            "calib_data": calib_data,
            "strategy": strategy,
            "with_preprocessing": with_preprocessing or None,
        }
    )
    with out.progress(f"exporting {target}"):
        if target.lower().endswith(".onnx"):
            taken = ("eval_data", "calib_data")
            adopted = given({name: options.pop(name, None) for name in taken})
            adopted |= given({"wall_s": options.pop("time_limit_s", None)})
            _refuse_options([*options, *_typed(param=params, dynamic=dynamic)])
            path, package = _adopt(target, output, overwrite, adopted)
        else:
            path, package = _export(target, output, params, dynamic, overwrite, options)
    if as_json:
        from edgekit.report.documents import ExportDocument

        out.print_json(ExportDocument(path, package))
    else:
        from edgekit.report.terminal import exported

        exported(out.console(), path, package)


def _typed(**repeated: tuple[str, ...]) -> list[str]:
    return [name for name, values in repeated.items() if values]


def _refuse_options(typed: list[str]) -> None:
    from edgekit.errors import BadValue

    if typed:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in typed)
        raise BadValue(
            what="an export of an .onnx file",
            asked=f"done with {names}",
            expected="only -o, --overwrite, --time-limit, --eval-data and --calib-data: the file "
            "is packed as it is",
        )


def _adopt(
    target: str, output: Path | None, overwrite: bool, options: dict[str, Any]
) -> tuple[str, Package]:
    from edgekit.measure.adopt import adopt

    path = output or Path(f"{Path(target).stem}.edgekit")
    return str(path), adopt(Path(target), path, overwrite=overwrite, **options)


def _export(
    target: str,
    output: Path | None,
    params: tuple[str, ...],
    dynamic: tuple[str, ...],
    overwrite: bool,
    options: dict[str, Any],
) -> tuple[str, Package]:
    from edgekit.cli.originals import own_exporters

    own_exporters()
    from exporters import export_target

    done = export_target(
        target,
        output,
        parameters=named_values(params, option="-p"),
        dynamic=dynamic,
        overwrite=overwrite,
        **options,
    )
    return done.path, done.package
