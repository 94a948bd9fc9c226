"""int8-static: weights and activations as 8-bit integers, their ranges measured beforehand (Q/DQ).

What is written is an ONNX file with QuantizeLinear and DequantizeLinear where the target's kernels
take integers (`edgekit.quantize.qdq.placing`). Measured once, whatever nodes are then left in
float: the ranges of activations; how far single channels stick out of a transformer's (they are
moved into the weights, `edgekit.quantize.measuring.smoothing`); and the mean shift that rounding
gives each node (taken back in its bias, `edgekit.quantize.measuring.bias_correction`).
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import msgspec
import onnx

from edgekit.errors import BadValue
from edgekit.graph.summary import precision_of
from edgekit.package.values import Recipe
from edgekit.quantize import files
from edgekit.quantize.channel_scales import fold_channel_scales
from edgekit.quantize.elements import label, read_typed
from edgekit.quantize.folding_weights import fold_weights
from edgekit.quantize.measuring.bias_correction import correct, correctable, mean_shifts
from edgekit.quantize.measuring.calibration import PERCENTILE, observe
from edgekit.quantize.measuring.exponents import exponent_of, weights_behind
from edgekit.quantize.measuring.smoothing import channel_maxima, smooth, smoothable
from edgekit.quantize.qdq.added_biases import take_in_biases
from edgekit.quantize.qdq.islands import wiring_of
from edgekit.quantize.qdq.multiplying import MULTIPLYING
from edgekit.quantize.qdq.placing import Placed, Spans, place, values_to_measure
from edgekit.quantize.qdq.raising import raised
from edgekit.quantize.qdq.stems import pool_first
from edgekit.quantize.saturation import refuse_saturating
from edgekit.quantize.scheme import Made, SchemeInfo, Work, Write
from edgekit.tensors import Array


def prepare(work: Work) -> Write:
    """Measure ranges, outliers and shifts; the writer places Q/DQ by them.

    Raises:
        BadValue: the model isn't float32, or none of its nodes can compute in integers.
    """
    precision = precision_of(work.model)
    if precision != "fp32":
        raise BadValue(
            what="a model to make int8",
            asked=f"{work.model}, which is {precision}",
            expected="float32",
        )
    parent = read_typed(work.model)
    order = [label(node) for node in parent.graph.node]
    outside = files.load_weights(parent, work.model)
    model = raised(parent, work.model)
    fold_weights(model, {node.input[1] for node in model.graph.node if node.op_type in MULTIPLYING})
    fold_channel_scales(model)
    pool_first(model.graph, fewest=work.rules.stem_products)
    smooth_at = _smoothed(model, work, _foreseen(model, work))
    spans, notes, cases = _measured(model, work)
    shifts = _shifts(model, work, spans)
    made_by = correctable(model)

    def write(output: Path, keep_float: Collection[str]) -> Made:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        asked = dict.fromkeys(keep_float, "asked for")
        # A node that stays in float has nothing to take back.
        floats = {made_by[name] for name in asked if name in made_by}
        corrected = correct(copy, {v: shift for v, shift in shifts.items() if v not in floats})
        placed = place(copy, spans, rules=work.rules, keep_float=asked)
        if not placed.nodes:
            raise _nothing(work.model, placed)
        if work.target.provider == "cpu":
            take_in_biases(copy)
        beside = files.save(copy, output, external_data=outside)
        refuse_saturating(output, work.target)
        method = work.settings.method or "minmax"
        calibration = work.calibration and msgspec.structs.replace(work.calibration, method=method)
        return Made(
            recipe=Recipe(
                "int8-static",
                keep_float=tuple(name for name in order if name in asked),
                rules=work.rules,
                calibration=calibration,
                smooth=smooth_at,
                bias_corrected=bool(corrected),
            ),
            files=beside,
            nodes=tuple(name for name in placed.nodes),
            kept=placed.kept,
            cases=cases,
            notes=notes,
        )

    return write


def _foreseen(model: Any, work: Work) -> Placed:
    """Find out before anything is measured what it is to be measured for."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    spans = dict.fromkeys(values_to_measure(model, work.rules), (-1.0, 1.0))
    placed = place(copy, spans, rules=work.rules)
    if not placed.nodes:
        raise _nothing(work.model, placed)
    return placed


def _nothing(path: Path, placed: Placed) -> BadValue:
    first = next((f" ({node}: {why})" for node, why in placed.kept.items()), "")
    return BadValue(
        what="a model to make int8",
        asked=str(path),
        expected=f"one with nodes that may compute in integers; here none may{first}",
    )


def _smoothed(model: Any, work: Work, foreseen: Placed) -> float | None:
    """Move outliers of activations into weights, in place.

    Returns:
        The exponent, None where nothing is moved; the middle one where each value has its own.
    """
    asked = work.settings.smooth
    readers = {
        value: labels
        for value, labels in smoothable(model).items()
        if value in foreseen.rounded and set(labels) <= set(foreseen.nodes)
    }
    if not readers or asked == 0:
        return None
    with _saved(model, work) as path:
        maxima = channel_maxima(
            path,
            work.feeds,
            readers,
            scratch=work.scratch,
            wall_s=work.wall_s,
            progress=work.progress,
        )
    bits = work.rules.weight_bits
    weights = weights_behind(model, readers)
    exponents = {
        value: asked or exponent_of(maxima[value], weights[value], bits=bits) for value in maxima
    }
    taken = sorted(exponent for exponent in exponents.values() if exponent)
    for exponent in sorted(set(taken)):
        chosen = {value: maxima[value] for value in maxima if exponents[value] == exponent}
        smooth(model, chosen, alpha=exponent)
    return taken[len(taken) // 2] if taken else None


def _measured(model: Any, work: Work) -> tuple[Spans, tuple[str, ...], int]:
    """Measure the range of every value that may become integers."""
    typed = onnx.shape_inference.infer_shapes(model)
    with _saved(model, work) as path:
        observed = observe(
            path,
            work.feeds,
            values_to_measure(typed, work.rules),
            method=work.settings.method or "minmax",
            percentile=PERCENTILE if work.settings.percentile is None else work.settings.percentile,
            symmetric=work.rules.symmetric,
            scratch=work.scratch,
            wall_s=work.wall_s,
            progress=work.progress,
        )
    spans = {name: (found.low, found.high) for name, found in observed.ranges.items()}
    return spans, observed.notes, observed.cases


def _shifts(model: Any, work: Work, spans: Spans) -> dict[str, Array]:
    """Measure the mean shift that rounding gives each node, by the value that it makes."""
    if work.settings.bias_correction is False:
        return {}
    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    placed = place(twin, spans, rules=work.rules)
    multiplying = [node for node in twin.graph.node if node.op_type in MULTIPLYING]
    # Of what comes out of the model the twin has the name for the rounded value.
    makers = {name for node in multiplying for name in node.output}
    values = [
        value
        for node, value in correctable(model).items()
        if node in placed.nodes and value in makers & _with_biases(model)
    ]
    if not values:
        return {}
    with _saved(model, work) as path, _saved(twin, work) as beside:
        return mean_shifts(
            path,
            beside,
            work.feeds,
            values=values,
            scratch=work.scratch,
            wall_s=work.wall_s,
            progress=work.progress,
        )


def _with_biases(model: Any) -> set[str]:
    """Name what is made by a node that has a bias or may get one without another node behind it."""
    stored = {tensor.name for tensor in model.graph.initializer}
    wiring = wiring_of(model.graph)
    found = set()
    for node in model.graph.node:
        behind = [model.graph.node[index] for index, _ in wiring.users.get(node.output[0], ())]
        added = len(behind) == 1 and behind[0].op_type == "Add"
        if node.op_type != "MatMul" or (added and stored.intersection(behind[0].input)):
            found.add(node.output[0])
    return found


@contextlib.contextmanager
def _saved(model: Any, work: Work) -> Iterator[Path]:
    """Keep a model as a file of its own for as long as it is needed."""
    with tempfile.TemporaryDirectory(dir=work.scratch) as folder:
        path = Path(folder) / "prepared.onnx"
        files.save(model, path, external_data=False)
        yield path


SCHEME = SchemeInfo(
    name="int8-static",
    precision="int8",
    target="cpu",
    summary="8-bit integers, the ranges of activations measured beforehand: the fastest on CPUs",
    where="It pays on processors, most for convolutions, and on GPUs through TensorRT.",
    prepare=prepare,
    needs_data=True,
    takes=("method", "percentile", "smooth", "bias_correction"),
)
