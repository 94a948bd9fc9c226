"""From a PyTorch module, or a TARGET, to a model package: the two ways in.

Nothing here imports torch. The work is done in a worker; this side makes the package of it.
"""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit.errors import BadValue, MissingExtra
from edgekit.package import commit
from edgekit.package.values import Package
from edgekit.terms import ExportStrategy, Task
from exporters import models, records
from exporters.attempts import Run, in_turn
from exporters.dimensions import parse_option
from exporters.labels import label_of, package_stem
from exporters.live import live_run
from exporters.packing import pack
from exporters.processes import Deadline, attempt_in_worker
from exporters.requests import Attempt, ExportOptions, TargetRequest

if TYPE_CHECKING:
    import torch

    from exporters.exportable import Exportable

TIME_LIMIT_S = 1800.0
SUFFIX = ".edgekit"


class Exported(msgspec.Struct, frozen=True):
    """A package that was written, and where."""

    path: str
    package: Package
    notes: tuple[str, ...] = ()


def export(
    module: torch.nn.Module | Any,
    example_inputs: Sequence[torch.Tensor] | Mapping[str, torch.Tensor] | None = None,
    output: str | os.PathLike[str] | None = None,
    *,
    dynamic: Mapping[str, Sequence[str | int | None]] | None = None,
    strategy: ExportStrategy | None = None,
    opset: int = 20,
    tolerance: float | None = None,
    external_data: bool = False,
    with_preprocessing: bool = False,
    overwrite: bool = False,
    seed: int = 0,
    time_limit_s: float = TIME_LIMIT_S,
) -> Exported:
    """Export a module to a model package, verified against the module itself.

    A worker does it, with a pickled copy of the module; where that can't be, the calling process
    with a copy, which a note says. The module itself stays as it is.

    Args:
        module: the module, or an `Exportable` that carries the example inputs and more.
        example_inputs: tensors: a tuple for positional arguments, a dict for keyword arguments.
        output: the package's folder; by default `NAME.edgekit` here.
        dynamic: for each input its axes: a name, perhaps with a range (`"batch:1..64"`), or None
            or the size itself for a fixed one; a name in several places is one dimension.
        strategy: the one way to export that is tried; by default all of them, in turn.
        opset: the version of ONNX's operators, exactly.
        tolerance: allowed difference as a share of the output's largest absolute value, instead of
            the bound that is measured on the original (see `exporters.verify`).
        external_data: keep the weights in a file beside the .onnx; above 1.9 GB always.
        with_preprocessing: add a variant that takes uint8 pixels of [batch, height, width,
            channel] and brings them into the model's form itself (`Exportable.normalization`).
        overwrite: replace the package that is at `output`; nothing else is ever replaced.
        seed: for the values drawn during verification, and for a module that draws random numbers.
        time_limit_s: after how long the export is ended, all ways together.

    Raises:
        WouldOverwrite, StorageError: the output can't be written.
        UsageError: names, dimensions or ranges that don't fit.
        FactoryFailed: the module fails or is unsteady, or its data doesn't fit it.
        NoWayWorked: each way failed, or gave answers that are not the original's.
        WorkerTimeout: it took longer than the limit.
    """
    _refuse_impossible(opset=opset, tolerance=tolerance, seed=seed)
    exportable = _as_exportable(module, example_inputs)
    label = exportable.name or type(exportable.module).__name__.lower()
    for name, axes in (dynamic or {}).items():
        if isinstance(axes, str):
            expected = "a sequence with one entry for each axis"
            raise BadValue(what=f"dynamic[{name!r}]", asked=repr(axes), expected=expected)
    options = ExportOptions(
        dynamic=None if dynamic is None else {k: list(v) for k, v in dynamic.items()},
        opset=opset,
        tolerance=tolerance,
        external_data=external_data,
    )
    path = Path(output) if output is not None else Path(label + SUFFIX)
    run, notes = live_run(exportable, label=label, seed=seed, deadline=Deadline(time_limit_s))
    with commit.new_package(path, overwrite=overwrite) as folder:
        attempts = _attempts(run, options, folder, label, strategy, with_preprocessing)
        package = pack(folder, attempts, source=label, seed=seed)
    return Exported(str(path), package, (*package.provenance.notes, *notes))


def export_target(
    target: str,
    output: str | os.PathLike[str] | None = None,
    *,
    parameters: Mapping[str, str] | None = None,
    dynamic: Sequence[str] = (),
    task: Task | None = None,
    pretrained: bool = False,
    weights: str | None = None,
    strategy: ExportStrategy | None = None,
    opset: int = 20,
    tolerance: float | None = None,
    external_data: bool = False,
    with_preprocessing: bool = False,
    eval_data: str | None = None,
    calib_data: str | None = None,
    overwrite: bool = False,
    seed: int = 0,
    time_limit_s: float = TIME_LIMIT_S,
) -> Exported:
    """Export what a TARGET names to a model package.

    A TARGET is a reference model, `file.py:factory`, `package.module:factory`, `timm:NAME`,
    `hf:FOLDER` (or a name on the hub), or a saved `.pt2`.

    Args:
        parameters: the factory's, as text.
        dynamic: texts like `image=batch:1..64,_`.
        task: what an `hf:` checkpoint is exported for, by default what it was made for.
        pretrained: take the published weights of a `timm:` or `hf:` model.
        weights: a .safetensors file whose tensors become the module's.
        eval_data: held-out cases in the place of those that come with the module: a source as
            `edgekit.data.open_data` takes it. Where they have labels and the module scores
            classes, answers are judged by right classes.
        calib_data: cases of the training side, to calibrate with, in the same way.

    The other arguments, and what is raised, are those of `export`; and MissingExtra where a
    package is missing.
    """
    _refuse_impossible(opset=opset, tolerance=tolerance, seed=seed)
    _refuse_without_torch(target)
    _refuse_unreadable(eval_data, calib_data)
    request = TargetRequest(
        target=target,
        folder=str(Path.cwd()),
        parameters=dict(parameters or {}),
        seed=seed,
        task=task,
        pretrained=pretrained,
        weights=weights,
    )
    options = ExportOptions(
        dynamic=dict(map(parse_option, dynamic)) if dynamic else None,
        opset=opset,
        tolerance=tolerance,
        external_data=external_data,
        eval_data=eval_data,
        calib_data=calib_data,
        data_folder=str(Path.cwd()),
    )
    label = label_of(target)
    path = Path(output) if output is not None else usual_folder(target)
    deadline = Deadline(time_limit_s)

    def run(options: ExportOptions, folder: Path) -> Attempt:
        return attempt_in_worker(
            "exporters.attempt:attempt_target",
            {"request": request, "options": options, "folder": str(folder)},
            what=f"export of {target}",
            deadline=deadline,
        )

    with commit.new_package(path, overwrite=overwrite) as folder:
        attempts = _attempts(run, options, folder, target, strategy, with_preprocessing)
        package = pack(folder, attempts, source=label, seed=seed, task=task, pretrained=pretrained)
    records.remember(package, request)
    return Exported(str(path), package, package.provenance.notes)


def usual_folder(target: str) -> Path:
    """Name the folder of a TARGET's package where no other is asked for."""
    return Path(package_stem(target) + SUFFIX)


def _attempts(
    run: Run,
    options: ExportOptions,
    folder: Path,
    label: str,
    strategy: ExportStrategy | None,
    with_preprocessing: bool,
) -> list[Attempt]:
    """Export the model as it comes and, if asked, once more with pixels going in.

    That one is done first, since it is the one that may not be possible.
    """
    attempts = []
    if with_preprocessing:
        wrapped = msgspec.structs.replace(options, with_preprocessing=True)
        attempts.append(in_turn(run, wrapped, folder, label=label, strategy=strategy))
    return [in_turn(run, options, folder, label=label, strategy=strategy), *attempts]


def _refuse_impossible(*, opset: int, tolerance: float | None, seed: int) -> None:
    if not 1 <= opset < 1000:
        raise BadValue(what="the opset", asked=str(opset), expected="a version such as 20")
    if tolerance is not None and not 0 <= tolerance < math.inf:
        raise BadValue(what="the tolerance", asked=str(tolerance), expected="a share, 0 or more")
    if not 0 <= seed < 2**63:
        raise BadValue(what="the seed", asked=str(seed), expected="0 or more, below 2^63")


def _refuse_unreadable(eval_data: str | None, calib_data: str | None) -> None:
    from edgekit.data.opening import refuse_unreadable  # the runtime, which only data need here

    if eval_data is not None:
        refuse_unreadable(eval_data, split="test")
    if calib_data is not None:
        refuse_unreadable(calib_data, split="train")


def _refuse_without_torch(target: str) -> None:
    """Name every extra that a TARGET needs, before a worker would name the first import to fail."""
    if importlib.util.find_spec("torch") is None:
        form = target.partition(":")[0]
        beside = "models" if target in models.names() else form if form in ("timm", "hf") else ""
        extra = f"export,{beside}" if beside else "export"
        raise MissingExtra(module="torch", extra=extra, what=f"The export of {target}")


def _as_exportable(module: Any, example_inputs: Any) -> Exportable:
    from exporters.exportable import Exportable

    if not isinstance(module, Exportable):
        return Exportable(
            module, tuple(example_inputs) if isinstance(example_inputs, list) else example_inputs
        )
    if example_inputs is not None:
        raise BadValue(
            what="example_inputs",
            asked="given beside an Exportable",
            expected="None, because the Exportable carries them",
        )
    return module
