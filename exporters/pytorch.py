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
from edgekit.package.values import Asset, Graph, Package, Provenance, Variant
from edgekit.workers import Call, Worker
from exporters import models, records
from exporters.dimensions import parse_option
from exporters.live import attempt_live
from exporters.requests import Attempt, ExportOptions, TargetRequest

if TYPE_CHECKING:
    import torch

    from exporters.exportable import Exportable

GRAPH = "model"
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
    opset: int = 20,
    tolerance: float | None = None,
    external_data: bool = False,
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
        opset: the version of ONNX's operators, exactly.
        tolerance: allowed difference as a share of the output's largest absolute value, instead of
            the bound that is measured on the original (see `exporters.verify`).
        external_data: keep the weights in a file beside the .onnx; above 1.9 GB always.
        overwrite: replace the package that is at `output`; nothing else is ever replaced.
        seed: for the values drawn during verification, and for a module that draws random numbers.
        time_limit_s: after how long the worker is ended.

    Raises:
        WouldOverwrite, StorageError: the output can't be written.
        UsageError: names, dimensions or ranges that don't fit.
        FactoryFailed: the module fails or is unsteady, or its data doesn't fit it.
        ExportError: the export failed, or its answers are not the original's.
        WorkerTimeout, WorkerDied: the worker did not finish.
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
    with commit.new_package(path, overwrite=overwrite) as folder:
        attempt, notes = attempt_live(
            exportable, options, label=label, folder=folder, seed=seed, time_limit_s=time_limit_s
        )
        package = _pack(folder, attempt, source=label, seed=seed)
    return Exported(str(path), package, (*attempt.notes, *notes))


def export_target(
    target: str,
    output: str | os.PathLike[str] | None = None,
    *,
    parameters: Mapping[str, str] | None = None,
    dynamic: Sequence[str] = (),
    opset: int = 20,
    tolerance: float | None = None,
    external_data: bool = False,
    overwrite: bool = False,
    seed: int = 0,
    time_limit_s: float = TIME_LIMIT_S,
) -> Exported:
    """Export what a TARGET names (a reference model, or `file.py:factory`) to a model package.

    `parameters` are the factory's, as text; `dynamic` holds texts like `image=batch:1..64,_`.
    The other arguments, and what is raised, are those of `export`; and MissingExtra without torch.
    """
    _refuse_impossible(opset=opset, tolerance=tolerance, seed=seed)
    _refuse_without_torch(target)
    request = TargetRequest(
        target=target, folder=str(Path.cwd()), parameters=dict(parameters or {}), seed=seed
    )
    options = ExportOptions(
        dynamic=dict(map(parse_option, dynamic)) if dynamic else None,
        opset=opset,
        tolerance=tolerance,
        external_data=external_data,
    )
    label = label_of(target)
    path = (
        Path(output)
        if output is not None
        else Path(label.partition(":")[0].removesuffix(".py") + SUFFIX)
    )
    with commit.new_package(path, overwrite=overwrite) as folder:
        call = Call(
            "exporters.attempt:attempt_target",
            {"request": request, "options": options, "folder": str(folder)},
        )
        with Worker(f"export of {target}", wall_s=time_limit_s) as worker:
            attempt = worker.call(call, returns=Attempt)
        package = _pack(folder, attempt, source=label, seed=seed)
    records.remember(package, request)
    return Exported(str(path), package, attempt.notes)


def label_of(target: str) -> str:
    """Name a TARGET without the folder it lies in: a package tells nothing about its maker."""
    path, colon, factory = target.rpartition(":")
    return f"{Path(path).name}:{factory}" if colon else Path(target).name


def _refuse_impossible(*, opset: int, tolerance: float | None, seed: int) -> None:
    if not 1 <= opset < 1000:
        raise BadValue(what="the opset", asked=str(opset), expected="a version such as 20")
    if tolerance is not None and not 0 <= tolerance < math.inf:
        raise BadValue(what="the tolerance", asked=str(tolerance), expected="a share, 0 or more")
    if not 0 <= seed < 2**63:
        raise BadValue(what="the seed", asked=str(seed), expected="0 or more, below 2^63")


def _refuse_without_torch(target: str) -> None:
    """Name every extra that a TARGET needs, before a worker would name the first import to fail."""
    if importlib.util.find_spec("torch") is None:
        extra = "export,models" if target in models.names() else "export"
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


def _pack(folder: Path, attempt: Attempt, *, source: str, seed: int) -> Package:
    """Make the package of what an attempt left in `folder`, and commit it there."""
    contents: dict[str, bytes | Path] = {
        file: folder / file
        for file in (
            attempt.model,
            *attempt.files,
            *(c.file for c in (attempt.reference, attempt.evaluation, attempt.calibration) if c),
        )
    }
    assets = []
    if attempt.labels:
        contents["labels.txt"] = "".join(f"{label}\n" for label in attempt.labels).encode()
        assets.append(Asset("labels", "labels", "labels.txt"))
    if attempt.preprocessing:
        contents["preprocessing.txt"] = (attempt.preprocessing + "\n").encode()
        assets.append(Asset("preprocessing", "preprocessing", "preprocessing.txt"))
    package = Package(
        name=attempt.name,
        graphs=(Graph(GRAPH, attempt.signature),),
        variants=(
            Variant(
                name=attempt.precision,
                graph=GRAPH,
                model=attempt.model,
                files=attempt.files,
                precision=attempt.precision,
                facts=attempt.facts,
                closeness=attempt.closeness,
            ),
        ),
        provenance=Provenance(
            source=source,
            original="pytorch",
            strategy=attempt.strategy,
            weights_sha256=attempt.weights_sha256,
            seed=seed,
            parameters=attempt.parameters,
            versions=attempt.versions,
            verification=attempt.verification,
            notes=attempt.notes,
        ),
        files={},
        metric=attempt.metric,
        reference=attempt.reference,
        evaluation=attempt.evaluation,
        calibration=attempt.calibration,
        assets=tuple(assets),
    )
    return commit.commit(folder, package, contents)
