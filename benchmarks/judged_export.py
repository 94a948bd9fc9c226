"""One architecture, exported one way and then judged, in a process of its own.

    python -m benchmarks.judged_export edgekit timm:resnet18

Prints a `Judged` as JSON.
"""

from __future__ import annotations

import logging
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
import torch

from benchmarks import architectures
from benchmarks.coverage_values import Judged, Side
from benchmarks.judging import Judgement, Shapes, in_one_line, judge
from edgekit.errors import EdgekitError
from edgekit.tensors import Dim
from exporters import export_target, sources
from exporters.exportable import Exportable
from exporters.original import Original
from exporters.requests import TargetRequest


def main() -> None:
    side, name = sys.argv[1:]
    if side not in get_args(Side):
        raise SystemExit(f"{side} is none of {', '.join(get_args(Side))}")
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="edgekit-coverage-") as folder:
        made = by_edgekit if side == "edgekit" else by_torch_alone
        judged = made(name, Path(folder))
    sys.stdout.buffer.write(msgspec.json.encode(judged) + b"\n")


def by_edgekit(name: str, folder: Path) -> Judged:
    """Export through `exporters.export_target`, judge the package's first variant."""
    target, file = architectures.save(name, folder)
    weights = None if file is None else str(file)
    package = folder / "out.edgekit"
    started = time.perf_counter()
    try:
        exported = export_target(target, package, weights=weights, dynamic=_narrower(name))
    except EdgekitError as error:
        return _refused(error, started, folder)
    seconds = time.perf_counter() - started
    made = exported.package
    variant = made.variants[0]
    verification = made.provenance.verification
    original = Original(sources.build(TargetRequest(target, str(folder), weights=weights)))
    judgement = judge(
        original,
        package / variant.model,
        {spec.name: spec.shape for spec in made.graphs[0].signature.inputs},
        verified=() if verification is None else verification.sizes,
    )
    return _judged(
        judgement,
        seconds,
        strategy=made.provenance.strategy,
        files=[package / file for file in (variant.model, *variant.files)],
        notes=[note.replace(str(folder), "FOLDER") for note in exported.notes],
    )


def _narrower(name: str) -> list[str]:
    """Ask for up to 8 images at once, and not for timm's 64: verification goes to both ends of a
    range, and there are many to verify.
    """
    return ["image=batch:1..8"] if name.startswith("timm:") else []


def by_torch_alone(name: str, folder: Path) -> Judged:
    """Export as torch's documentation shows it: `torch.onnx.export` with dynamic axes named."""
    module = architectures.make(name)
    example, shapes = _example(module)
    original = Original(Exportable(module, example, input_names=list(shapes)))
    path = folder / "bare.onnx"
    args, kwargs = original.arguments(original.example)
    axes = [
        {axis: dim.name for axis, dim in enumerate(shape) if isinstance(dim, Dim)}
        for shape in shapes.values()
    ]
    started = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                original.module,
                args,
                path,
                kwargs=kwargs or None,
                input_names=original.input_names,
                dynamo=True,
                dynamic_shapes=dict(zip(kwargs, axes, strict=True)) if kwargs else tuple(axes),
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # the exporter lets through whatever happens below it
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        return _refused(cause, started, folder)
    seconds = time.perf_counter() - started
    # A fresh one: an export may leave its traces on the module.
    again = Original(Exportable(architectures.make(name), example, input_names=list(shapes)))
    return _judged(judge(again, path, shapes), seconds, strategy=None, files=[path])


def _example(module: Any) -> tuple[Any, Shapes]:
    """Make the example and the dynamic shapes that a user of timm or transformers would."""
    torch.manual_seed(1)
    batch, sequence = Dim("batch", 1), Dim("sequence", 1)
    main = getattr(module, "main_input_name", None)
    if main is None:
        size = module.pretrained_cfg["input_size"]
        return (torch.rand(2, *size),), {"x": (batch, *size)}
    if main == "input_ids":
        ids = torch.randint(3, 128, (2, 12))
        both = (batch, sequence)
        return (
            {"input_ids": ids, "attention_mask": torch.ones_like(ids)},
            {"input_ids": both, "attention_mask": both},
        )
    if main == "pixel_values":
        side = getattr(module.config, "image_size", None) or 64
        return {main: torch.rand(2, 3, side, side)}, {main: (batch, 3, side, side)}
    return {main: torch.randn(2, 400)}, {main: (batch, Dim("samples", 100))}


def _judged(
    judgement: Judgement,
    seconds: float,
    *,
    strategy: str | None,
    files: Sequence[Path],
    notes: Sequence[str] = (),
) -> Judged:
    return Judged(
        "wrong" if judgement.problem else "right",
        seconds=seconds,
        strategy=strategy,
        size_mb=sum(file.stat().st_size for file in files) / 1e6,
        max_abs_error=judgement.max_abs_error,
        times_own=judgement.times_own,
        sizes=judgement.sizes,
        problem=judgement.problem,
        notes=list(notes),
    )


def _refused(error: BaseException, started: float, folder: Path) -> Judged:
    """Keep the sentence, without names of folders that are others in every run."""
    ours = isinstance(error, EdgekitError)
    sentence = " ".join(str(error).split()) if ours else in_one_line(error)
    sentence = re.sub(r" The full report is in \S+", "", sentence)
    return Judged(
        "refused",
        seconds=time.perf_counter() - started,
        problem=sentence.replace(str(folder), "FOLDER"),
    )


if __name__ == "__main__":
    main()
