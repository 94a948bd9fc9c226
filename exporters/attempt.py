"""One attempt at an export, in one way, in the process it is called in: usually a worker.

Makes the original, exports it, holds the two against each other, and leaves the model and the
cases in a folder. Nothing here knows the package that comes of it.
"""

from __future__ import annotations

import dataclasses
import logging
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from edgekit.errors import EdgekitError, FactoryFailed, VerificationFailed
from edgekit.graph.summary import summarize
from edgekit.tensors import (
    Feed,
    Signature,
    TensorSpec,
    dim_sizes,
    dtype_named,
    dynamic_dims,
    resize,
)
from edgekit.terms import STRATEGIES
from exporters import sources
from exporters.answers import answers
from exporters.arrays import to_numpy, to_torch
from exporters.data import chosen_data, data_of, kept_notes, metric_of, refuse_without_classes
from exporters.dimensions import resolve
from exporters.explain import known_disagreement
from exporters.exportable import Exportable
from exporters.notes import notes_on, notes_on_random
from exporters.opening import opened
from exporters.original import Original
from exporters.preprocessing import with_preprocessing
from exporters.recording import answered, reference_cases, write_assets, write_cases
from exporters.requests import PIXELS_SUFFIX, Attempt, ExportOptions, ModuleRequest, TargetRequest
from exporters.signatures import output_specs
from exporters.sizes import count_elements, in_doubt, in_words, is_large, sizes_to_try
from exporters.steadiness import pristine, steady_answers, trains_otherwise
from exporters.strategies import convert
from exporters.strategies.conditions import orders
from exporters.strategies.randomness import drawn_outputs
from exporters.strategies.saving import save
from exporters.verify import torch_versions, verify

log = logging.getLogger("edgekit")

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
    if options.dynamic is not None:
        # Before the axes change places: they are named as the model has them.
        exportable = dataclasses.replace(exportable, dynamic=options.dynamic)
    example = {key: to_numpy(tensor) for key, tensor in original.example.items()}
    # Before pixels take the image's place: the data are what goes into the module as it comes.
    chosen = chosen_data(
        exportable, options, Signature(_input_specs(original, exportable, example), ())
    )
    exportable = chosen.exportable
    suffix = ""
    if options.with_preprocessing:
        exportable = with_preprocessing(exportable)
        original, suffix = Original(exportable), PIXELS_SUFFIX
    feed = {key: to_numpy(tensor) for key, tensor in original.example.items()}
    inputs = _input_specs(original, exportable, feed)
    signature = Signature(inputs, ())
    data = data_of(exportable, signature)
    uncalled = pristine(original)
    trained = pristine(original) if original.was_training else None
    outputs, random, draws = steady_answers(original, signature, feed, label=name, seed=seed)
    metric = metric_of(chosen, data.evaluation, outputs)
    told = [*notes_on(original, options), *kept_notes(chosen, data)]
    if trained is not None and trains_otherwise(trained, feed, outputs, seed=seed):
        told.append("the module was in training mode, and was exported in evaluation mode")
    sizes, notes = sizes_to_try(
        dynamic_dims(signature),
        dim_sizes(signature, feed),
        elements=count_elements(feed),
    )
    observed = [
        (each, _shapes_at(original, signature, feed, each))
        for each in sizes
        if not is_large(resize(signature, feed, each), feed)
    ]
    _refuse_other_outputs(name, observed)

    source = original
    if uncalled is not None:
        # A call may have filled a table in, which a capture would take for the module's own.
        uncalled.output_names, source = original.output_names, uncalled
    log.info("exporting %s with %s", name, STRATEGIES[options.strategy])
    model, doubtful = convert(
        options.strategy,
        source,
        example=_at_least_two(signature, feed),
        shapes={spec.name: spec.shape for spec in inputs},
        opset=options.opset,
        label=name,
        unrolled=options.unrolled,
    )
    drawn = drawn_outputs(model)
    _refuse_frozen(random - drawn)
    random |= drawn if draws else frozenset()
    signature = Signature(inputs, output_specs(model, outputs, observed, random=random))
    file = f"{original.precision}{suffix}.onnx"
    beside = save(model, folder / file, name=name, external_data=options.external_data)

    log.info("verifying %s against its original", name)
    with opened(folder / file, name, model) as exported, known_disagreement(original.module):
        closenesses, verification = verify(
            original,
            lambda feed: exported.named(exported(dict(feed))),
            signature,
            example=feed,
            sizes=[*sizes, *in_doubt(doubtful, sizes[0], feed, label=name)],
            ties=not orders(model),
            real=[case.feed for case in data.evaluation[:_REAL_FEEDS]],
            tolerance=options.tolerance,
            seed=seed,
        )
    log.info("recording the original's answers")
    reference = reference_cases(original, signature, feed, sizes=sizes, seed=seed)
    evaluation = list(answered(original, data.evaluation))
    if metric == "top1":
        refuse_without_classes(evaluation)
    return Attempt(
        name=name,
        signature=signature,
        strategy=options.strategy,
        precision=original.precision,
        suffix=suffix,
        facts=summarize(folder / file),
        closeness=closenesses,
        verification=verification,
        weights_sha256=weights_sha256,
        metric=metric,
        model=file,
        files=beside,
        reference=write_cases(folder, "reference", reference, name="cases", suffix=suffix),
        evaluation=write_cases(
            folder, "test", evaluation, name=chosen.names["test"], suffix=suffix
        ),
        calibration=write_cases(
            folder, "train", data.calibration, name=chosen.names["train"], suffix=suffix
        ),
        assets=write_assets(folder, exportable),
        parameters=parameters,
        versions=torch_versions(),
        notes=(*exportable.notes, *told, *notes_on_random(random), *notes),
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


def _input_specs(original: Original, exportable: Exportable, feed: Feed) -> tuple[TensorSpec, ...]:
    shapes = resolve(exportable.dynamic, {key: array.shape for key, array in feed.items()})
    return tuple(
        TensorSpec(key, dtype_named(feed[key].dtype.name), shapes[key], exportable.values.get(key))
        for key in original.input_names
    )


def _shapes_at(
    original: Original, signature: Signature, feed: Feed, sizes: dict[str, int]
) -> dict[str, tuple[int, ...]]:
    given = answers(original, resize(signature, feed, sizes), where=in_words(sizes))
    return {name: array.shape for name, array in given.items()}


def _refuse_other_outputs(
    name: str, observed: Sequence[tuple[Mapping[str, int], Mapping[str, tuple[int, ...]]]]
) -> None:
    first = observed[0][1]
    for sizes, shapes in observed:
        if shapes.keys() != first.keys():
            raise FactoryFailed(
                target=f"The module {name}",
                problem=f"returns {len(first)} outputs at {in_words(observed[0][0])} and "
                f"{len(shapes)} at {in_words(sizes)}; a model has the same outputs at every size",
            )


def _refuse_frozen(outputs: frozenset[str]) -> None:
    if outputs:
        raise VerificationFailed(
            output=", ".join(sorted(outputs)),
            sizes="every size",
            problem="the original draws it at random and the exported model answers the same at "
            "every call",
        )


def _at_least_two(signature: Signature, feed: Feed) -> dict[str, torch.Tensor]:
    """Widen dynamic dimensions of size 1: torch would fix them to 1 without a word."""
    sizes = {name: 2 for name, size in dim_sizes(signature, feed).items() if size == 1}
    return {name: to_torch(array) for name, array in resize(signature, feed, sizes).items()}
