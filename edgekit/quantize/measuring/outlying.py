"""How badly 8 bits with one scale for a whole tensor fit what goes into a product.

uint8 with a range read off each call (ONNX's DynamicQuantizeLinear) is off by step/√12 everywhere,
step = (max - min) / 255. Where a few channels are far larger than the others, as behind the
activation of a transformer's feed-forward part, that drowns the others, so it is held against the
channel in the middle and not against all of them:

    SQNR = median over channels of mean(x_k²) / mean(step² / 12)

over the same calls on real values. The model is run with three answers more for each value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto

from edgekit.measure.ways import How, variant_call
from edgekit.package.values import PORTABLE, SessionChoice
from edgekit.quantize import files
from edgekit.quantize.additions import Additions
from edgekit.quantize.elements import read_typed
from edgekit.tensors import Array, Feed
from edgekit.workers import Worker

_STEPS = 255
_AXES_AS_INPUT = 18
"""The opset from which on a reduction takes its axes as an input."""


def sqnr_of_8_bits(
    model: Path,
    feeds: Iterable[Feed],
    *,
    channels: Mapping[str, int],
    scratch: Path,
    wall_s: float,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Measure the signal-to-noise ratio, in dB, of values rounded to 8 bits with one range a call.

    Args:
        model: a float32 .onnx file, external data beside it.
        feeds: what goes in, one call each.
        channels: float32 values of its main graph, and the size of their last dimension.
        scratch: a folder for the model with the additional answers, left as it was.
        wall_s: how long loading, or a single run, may take.
        progress: called with the feeds done and the feeds in all.

    Returns:
        By value; infinite where nothing was met that isn't 0.

    Raises:
        ModelFileError, RunFailed, WorkerError: it can't be read or run.
    """
    typed = read_typed(model)
    outside = files.load_weights(typed, model)
    answers = {value: _read(typed, value, size) for value, size in channels.items()}
    path = scratch / "outlying.onnx"
    beside = files.save(typed, path, external_data=outside)
    feeds = list(feeds)
    signal = {value: np.zeros(size) for value, size in channels.items()}
    noise = dict.fromkeys(channels, 0.0)
    with Worker(f"running {model.name} for its outliers", wall_s=wall_s) as worker:
        worker.open(variant_call(path, PORTABLE, How(SessionChoice(graph_level="basic"))))
        for done, feed in enumerate(feeds):
            if progress is not None:
                progress(done, len(feeds))
            outputs = worker.run(feed).outputs
            for value, (low, high, squares, rows) in answers.items():
                count = int(outputs[rows][0])
                if count > 0:
                    bounds = float(outputs[low]), float(outputs[high])
                    signal[value] += outputs[squares].astype(np.float64) / count
                    noise[value] += ((max(*bounds, 0) - min(*bounds, 0)) / _STEPS) ** 2 / 12
    for name in (path.name, *beside):
        (scratch / name).unlink()
    return {value: _decibels(signal[value], noise[value]) for value in channels}


def _read(model: Any, value: str, size: int) -> tuple[str, str, str, str]:
    """Add answers: the least and the largest number, each channel's sum of squares, and [rows]."""
    add = Additions(model.graph)
    opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    whole = {"keepdims": 0}
    rows = add.constant(f"{value}_rows", np.array([-1, size], np.int64))
    table = add.node("Reshape", [value, rows])
    if opset >= _AXES_AS_INPUT:
        axes = add.constant(f"{value}_axes", np.array([0], np.int64))
        squares = add.node("ReduceSumSquare", [table, axes], attributes=whole)
    else:
        squares = add.node("ReduceSumSquare", [table], attributes={**whole, "axes": [0]})
    shape = add.node("Shape", [table])
    names = (
        add.node("ReduceMin", [value], attributes=whole),
        add.node("ReduceMax", [value], attributes=whole),
        squares,
        shape,
    )
    for name in names:
        kind = TensorProto.INT64 if name == shape else TensorProto.FLOAT
        add.answer(name, kind=kind, scalar=False)
    return names


def _decibels(signal: Array, noise: float) -> float:
    if not np.isfinite(signal).all() or not np.isfinite(noise):
        return -np.inf
    alive = signal[signal > 0]
    return float(10 * np.log10(np.median(alive) / noise)) if alive.size and noise > 0 else np.inf
