"""One attempt at an export, in the process it is called in: usually a worker.

Makes the original, exports it, holds the two against each other, and leaves the model and the
cases in a folder. Nothing here knows the package that comes of it.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from edgekit.errors import BadValue, FactoryFailed
from edgekit.graph.summary import summarize
from edgekit.package import cases as case_files
from edgekit.package.values import CaseFile, SessionChoice
from edgekit.runtime.loading import open_model
from edgekit.tensors import (
    Array,
    Case,
    Dim,
    Feed,
    Signature,
    TensorSpec,
    dim_sizes,
    dtype_named,
    dynamic_dims,
    resize,
)
from exporters import sources, strategies
from exporters.dimensions import resolve
from exporters.exportable import Exportable
from exporters.original import Original, to_numpy, to_torch
from exporters.requests import Attempt, ExportOptions, ModuleRequest, TargetRequest
from exporters.sizes import drawn, sizes_to_try
from exporters.verify import answers, torch_versions, verify

log = logging.getLogger("edgekit")

REFERENCE_CASES = 4
REFERENCE_BYTES = 16 << 20
EVALUATION_CASES, EVALUATION_BYTES = 1_500, 64 << 20
CALIBRATION_CASES, CALIBRATION_BYTES = 256, 32 << 20
_REAL_FEEDS = 16


def attempt_target(request: TargetRequest, options: ExportOptions, folder: str) -> Attempt:
    """Make the original that a TARGET names and export it into `folder`.

    Raises what `exporters.sources.build` and `attempt` raise.
    """
    exportable, parameters = sources.build(request)
    return attempt(exportable, options, Path(folder), parameters=parameters, seed=request.seed)


def attempt_module(request: ModuleRequest, options: ExportOptions, folder: str) -> Attempt:
    """Export a module that was handed over by pickle.

    Raises:
        FactoryFailed: it can't be unpickled in this process.
        What `attempt` raises.
    """
    try:
        exportable = pickle.loads(request.pickled)
    except Exception as error:  # unpickling runs the user's imports
        raise FactoryFailed(
            target=request.label, problem=f"cannot be made again in another process ({error})"
        ) from error
    return attempt(exportable, options, Path(folder), parameters={}, seed=request.seed)


def attempt(
    exportable: Exportable,
    options: ExportOptions,
    folder: Path,
    *,
    parameters: dict[str, str],
    seed: int,
) -> Attempt:
    """Export, verify, and write the model and its cases into `folder`.

    Raises:
        UsageError: names, dimensions or ranges that don't fit the module.
        ExportError: the export failed, or its answers are not the original's.
    """
    name = exportable.name or type(exportable.module).__name__.lower()
    original = Original(exportable)
    notes: list[str] = []
    feed = {key: to_numpy(tensor) for key, tensor in original.example.items()}
    shapes = resolve(
        exportable.dynamic if options.dynamic is None else options.dynamic,
        {key: array.shape for key, array in feed.items()},
    )
    inputs = tuple(
        TensorSpec(key, dtype_named(feed[key].dtype.name), shapes[key], exportable.values.get(key))
        for key in original.input_names
    )
    signature = Signature(inputs, ())
    outputs = answers(original, feed, where="the example's sizes")
    sources.seed_everything(seed)

    log.info("exporting %s with torch's dynamo exporter", name)
    model = strategies.dynamo(
        original, _at_least_two(signature, feed), shapes, opset=options.opset, label=name
    )
    signature = Signature(inputs, _output_specs(model, outputs))
    file = f"{original.precision}.onnx"
    beside = strategies.save(model, folder / file, name=name, external_data=options.external_data)

    log.info("verifying %s against its original", name)
    dims = dynamic_dims(signature)
    sizes, told = sizes_to_try(
        dims, dim_sizes(signature, feed), elements=sum(array.size for array in feed.values())
    )
    notes += told
    evaluation = _taken(exportable.evaluation, EVALUATION_CASES, EVALUATION_BYTES)
    calibration = _taken(exportable.calibration, CALIBRATION_CASES, CALIBRATION_BYTES)
    _refuse_overlap(evaluation, calibration)
    with open_model(folder / file, "portable", SessionChoice()) as exported:
        closenesses, verification = verify(
            original,
            lambda feed: exported.named(exported(dict(feed))),
            signature,
            example=feed,
            sizes=sizes,
            real=[case.feed for case in evaluation[:_REAL_FEEDS]],
            tolerance=options.tolerance,
            seed=seed,
        )
    log.info("recording the original's answers")
    reference = _reference_cases(original, signature, feed, sizes, seed)
    answered = [
        Case(case.feed, answers(original, case.feed, where="an evaluation case"), case.label)
        for case in evaluation
    ]
    return Attempt(
        name=name,
        signature=signature,
        strategy="dynamo",
        precision=original.precision,
        facts=summarize(folder / file),
        closeness=closenesses,
        verification=verification,
        weights_sha256=original.weights_sha256(),
        metric=exportable.metric,
        model=file,
        files=beside,
        reference=_write(folder, "reference", "reference", reference),
        evaluation=_write(folder, "evaluation", "test", answered),
        calibration=_write(folder, "calibration", "train", calibration),
        labels=tuple(exportable.labels or ()),
        preprocessing=exportable.preprocessing,
        parameters=parameters,
        versions=torch_versions(),
        notes=tuple(notes),
    )


def _at_least_two(signature: Signature, feed: Feed) -> dict[str, torch.Tensor]:
    """Widen dynamic dimensions of size 1: torch would fix them to 1 without a word."""
    sizes = {name: 2 for name, size in dim_sizes(signature, feed).items() if size == 1}
    return {name: to_torch(array) for name, array in resize(signature, feed, sizes).items()}


def _output_specs(model: object, outputs: dict[str, Array]) -> tuple[TensorSpec, ...]:
    specs = []
    for value, (name, array) in zip(model.graph.outputs, outputs.items(), strict=True):  # type: ignore[attr-defined]
        shape = tuple(
            size
            if isinstance(size, int)
            else Dim(str(size.value) if size.value else f"{name}_{axis}", 0)
            for axis, size in enumerate(value.shape)
        )
        specs.append(TensorSpec(name, dtype_named(array.dtype.name), shape))
    return tuple(specs)


def _reference_cases(
    original: Original, signature: Signature, feed: Feed, sizes: list[dict[str, int]], seed: int
) -> list[Case]:
    """Take real and drawn values at the first few sizes, as long as they stay small."""
    chosen: list[Case] = []
    total = 0
    for combination in sizes[:REFERENCE_CASES]:
        real = resize(signature, feed, combination)
        for values in (real, drawn(signature, real, seed=seed + 1)):
            case = Case(dict(values), answers(original, values, where="a reference case"))
            total += _nbytes(case)
            if chosen and total > REFERENCE_BYTES:
                return chosen
            chosen.append(case)
    return chosen


def _taken(open_cases: Callable[[], Iterable[Case]] | None, cases: int, nbytes: int) -> list[Case]:
    """Take cases from the start, up to a number and a size."""
    return list(_bounded(open_cases(), cases, nbytes)) if open_cases is not None else []


def _bounded(source: Iterable[Case], cases: int, nbytes: int) -> Iterator[Case]:
    total = 0
    for index, case in enumerate(source):
        total += _nbytes(case)
        if index >= cases or total > nbytes:
            return
        yield case


def _nbytes(case: Case) -> int:
    return sum(np.asarray(a).nbytes for a in (*case.feed.values(), *(case.outputs or {}).values()))


def _refuse_overlap(evaluation: list[Case], calibration: list[Case]) -> None:
    seen = {case_files.content_sha256(case.feed) for case in evaluation}
    if any(case_files.content_sha256(case.feed) in seen for case in calibration):
        raise BadValue(
            what="the calibration data",
            asked="partly the evaluation data",
            expected="cases that no accuracy is measured on",
        )


def _write(folder: Path, name: str, split: str, cases: list[Case]) -> CaseFile | None:
    if not cases:
        return None
    file = f"{name}.safetensors"
    (folder / file).write_bytes(case_files.encode(cases))
    return CaseFile(
        file=file,
        name=name,
        split=split,  # type: ignore[arg-type]
        cases=len(cases),
        content_sha256=case_files.content_sha256_of_all(cases),
    )
