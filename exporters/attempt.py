"""One attempt at an export, in the process it is called in: usually a worker.

Makes the original, exports it, holds the two against each other, and leaves the model and the
cases in a folder. Nothing here knows the package that comes of it.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from pathlib import Path

import onnx_ir
import torch

from edgekit.errors import EdgekitError, ExportFailed, FactoryFailed, ModelFileError
from edgekit.graph.summary import summarize
from edgekit.package import cases as case_files
from edgekit.package.values import CaseFile, SessionChoice
from edgekit.runtime.loading import open_model
from edgekit.runtime.model import Model
from edgekit.tensors import (
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
from edgekit.terms import DType, Split, members
from exporters import sources, strategies
from exporters.answers import answers
from exporters.arrays import to_numpy, to_torch
from exporters.data import EVALUATION_BYTES, data_of, nbytes, refuse_without_classes
from exporters.dimensions import resolve
from exporters.exportable import Exportable
from exporters.original import Original
from exporters.requests import Attempt, ExportOptions, ModuleRequest, TargetRequest
from exporters.seeds import seed_everything
from exporters.sizes import drawn, in_words, sizes_to_try
from exporters.verify import refuse_unsteady, torch_versions, verify

log = logging.getLogger("edgekit")

REFERENCE_CASES = 4
REFERENCE_BYTES = 16 << 20
_REAL_FEEDS = 16


def attempt_target(request: TargetRequest, options: ExportOptions, folder: str) -> Attempt:
    """Make the original that a TARGET names and export it into `folder`.

    Raises what `exporters.sources.build` and `attempt` raise.
    """
    return attempt(
        sources.build(request),
        options,
        Path(folder),
        parameters=request.parameters,
        seed=request.seed,
    )


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

    The module is taken over: it is left on the CPU, in evaluation mode and without gradients.

    Raises:
        UsageError: names, dimensions or ranges that don't fit the module.
        FactoryFailed: the module fails or is unsteady, or its data doesn't fit it.
        ExportError: the export failed, or its answers are not the original's.
    """
    name = exportable.name or type(exportable.module).__name__.lower()
    original, weights_sha256 = _taken_over(exportable, name)
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
    data = data_of(exportable, signature)
    seed_everything(seed)
    outputs = answers(original, feed)
    _refuse_other_elements(name, outputs)
    refuse_unsteady(original, feed, outputs)

    log.info("exporting %s with torch's dynamo exporter", name)
    model = strategies.dynamo(
        original, _at_least_two(signature, feed), shapes, opset=options.opset, label=name
    )
    signature = Signature(inputs, _output_specs(model, outputs))
    file = f"{original.precision}.onnx"
    beside = strategies.save(model, folder / file, name=name, external_data=options.external_data)

    log.info("verifying %s against its original", name)
    sizes, told = sizes_to_try(
        dynamic_dims(signature),
        dim_sizes(signature, feed),
        elements=sum(array.size for array in feed.values()),
    )
    notes += told
    with _opened(folder / file, name, original.precision) as exported:
        closenesses, verification = verify(
            original,
            lambda feed: exported.named(exported(dict(feed))),
            signature,
            example=feed,
            sizes=sizes,
            real=[case.feed for case in data.evaluation[:_REAL_FEEDS]],
            tolerance=options.tolerance,
            seed=seed,
        )
    log.info("recording the original's answers")
    reference = _reference_cases(original, signature, feed, sizes, seed)
    evaluation = list(_answered(original, data.evaluation))
    if exportable.metric == "top1":
        refuse_without_classes(evaluation)
    return Attempt(
        name=name,
        signature=signature,
        strategy="dynamo",
        precision=original.precision,
        facts=summarize(folder / file),
        closeness=closenesses,
        verification=verification,
        weights_sha256=weights_sha256,
        metric=exportable.metric,
        model=file,
        files=beside,
        reference=_write(folder, "reference", reference, name="cases"),
        evaluation=_write(folder, "test", evaluation, name=exportable.dataset),
        calibration=_write(folder, "train", data.calibration, name=exportable.dataset),
        labels=tuple(exportable.labels or ()),
        preprocessing=exportable.preprocessing,
        parameters=parameters,
        versions=torch_versions(),
        notes=tuple(notes),
    )


def _taken_over(exportable: Exportable, name: str) -> tuple[Original, str]:
    try:
        original = Original(exportable)
        return original, original.weights_sha256()
    except EdgekitError:
        raise
    except Exception as error:  # torch's own, of weights without data or of a type that numpy lacks
        problem = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise FactoryFailed(
            target=f"The module {name}",
            problem=f"cannot be taken to the CPU and have its weights read ({problem})",
        ) from error


def _at_least_two(signature: Signature, feed: Feed) -> dict[str, torch.Tensor]:
    """Widen dynamic dimensions of size 1: torch would fix them to 1 without a word."""
    sizes = {name: 2 for name, size in dim_sizes(signature, feed).items() if size == 1}
    return {name: to_torch(array) for name, array in resize(signature, feed, sizes).items()}


def _refuse_other_elements(name: str, outputs: Feed) -> None:
    for output, array in outputs.items():
        if array.dtype.name not in members(DType):
            raise ExportFailed(
                target=name,
                problem=f"its output {output} is of {array.dtype.name}; an output may be of "
                + ", ".join(members(DType)),
            )


def _opened(path: Path, name: str, precision: str) -> Model:
    try:
        return open_model(path, "portable", SessionChoice())
    except ModelFileError as error:
        coarse = precision in ("fp16", "bf16")
        raise ExportFailed(
            target=name,
            problem="ONNX Runtime refuses the model that torch made: "
            + error.facts["problem"].rstrip(".")
            + (
                f". Its weights are {precision}, which the CPU can't compute everything in; "
                "export module.float(), and lower the precision afterwards"
                if coarse
                else ""
            ),
        ) from error


def _output_specs(model: onnx_ir.Model, outputs: Feed) -> tuple[TensorSpec, ...]:
    """Describe the outputs: types from the original's answers, shapes from the graph."""
    specs = []
    for value, (name, array) in zip(model.graph.outputs, outputs.items(), strict=True):
        sizes = list(value.shape) if value.shape is not None else [None] * array.ndim
        shape = tuple(
            size if isinstance(size, int) else Dim(_dim_name(size) or f"{name}_{axis}", 0)
            for axis, size in enumerate(sizes)
        )
        specs.append(TensorSpec(name, dtype_named(array.dtype.name), shape))
    return tuple(specs)


def _dim_name(size: onnx_ir.SymbolicDim | None) -> str:
    return str(size.value or "") if size is not None else ""


def _reference_cases(
    original: Original, signature: Signature, feed: Feed, sizes: list[dict[str, int]], seed: int
) -> list[Case]:
    """Take real and drawn values at the first few sizes, as long as they stay small."""
    chosen: list[Case] = []
    total = 0
    for combination in sizes[:REFERENCE_CASES]:
        real = resize(signature, feed, combination)
        for values in (real, drawn(signature, real, seed=seed + 1)):
            case = Case(dict(values), answers(original, values, where=in_words(combination)))
            total += nbytes(case)
            if chosen and total > REFERENCE_BYTES:
                return chosen
            chosen.append(case)
    return chosen


def _answered(original: Original, cases: list[Case]) -> Iterator[Case]:
    """Add the original's answers, as long as they and the inputs stay within the bound."""
    total = 0
    for index, case in enumerate(cases):
        given = answers(original, case.feed, where=f"evaluation case {index}")
        answered = Case(case.feed, given, case.label)
        total += nbytes(answered)
        if total > EVALUATION_BYTES:
            return
        yield answered


_FILES: dict[Split, str] = {
    "reference": "reference.safetensors",
    "test": "evaluation.safetensors",
    "train": "calibration.safetensors",
}


def _write(folder: Path, split: Split, cases: list[Case], *, name: str) -> CaseFile | None:
    if not cases:
        return None
    file = _FILES[split]
    (folder / file).write_bytes(case_files.encode(cases))
    return CaseFile(
        file=file,
        name=name,
        split=split,
        cases=len(cases),
        content_sha256=case_files.content_sha256_of_all(cases),
    )
