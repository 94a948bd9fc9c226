"""Take back the mean shift that rounded weights and activations give each node's answer.

After Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019,
section 4.2, with the means of real cases: rounding errors of weights don't average out over inputs
whose mean isn't zero, so each channel of a Conv or MatMul answers a little too high or too low, and
the following nodes carry that on. The bias takes it back:

    b' = b - (E[quantized node(x)] - E[node(x)])

Both means are those of one x, the float model's: a quantized node is run beside its twin in the
float model and not behind other quantized nodes. So its shift is its own alone, all shifts are
found in one pass, and taking all of them back at once doesn't take anything back twice.

    x ─┬─▶ Conv(W) ─────────────────────────▶ y  ─┐
       └─▶ Q ─▶ DQ ─▶ Conv(DQ(Q(W))) ─▶ y_quantized ─▶ Sub ─▶ mean of each channel
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from edgekit.errors import UnknownName
from edgekit.quantize import files
from edgekit.quantize.constants import Constants, float_attribute, whole_attribute
from edgekit.quantize.elements import captured, label, read_typed
from edgekit.quantize.measuring.probing import Probe
from edgekit.quantize.measuring.twins import adopt_twins, at_opset_of
from edgekit.quantize.measuring.watching import Watch
from edgekit.runtime.folding import Fold
from edgekit.tensors import Array, Feed

_CONVOLUTIONS = ("Conv", "ConvTranspose")
_PRODUCTS = ("Gemm", "MatMul")
_ONNX = ("", "ai.onnx")


def correctable(model: Any) -> dict[str, str]:
    """Name the nodes with a constant weight, by label, and the value that each makes.

    Args:
        model: what `elements.read_typed` gave; its weights need not be loaded.
    """
    return {label(node): node.output[0] for node, _ in _weighted(model)}


def mean_shifts(
    model: Path,
    twin: Path,
    feeds: Callable[[], Iterable[Feed]],
    *,
    values: Collection[str],
    scratch: Path,
    wall_s: float,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Array]:
    """Measure how far each channel of quantized nodes' answers lies above the float ones, in mean.

    Args:
        model: the float .onnx file, external data beside it.
        twin: the quantized one, in which `values`, and what leads to them, have the same names.
        feeds: starts a pass over what goes in; cases weigh as much as they have elements.
        values: names out of `correctable`.
        scratch: a folder for the model that is run; nothing is left there.
        wall_s: how long loading, or a single run, may take.
        progress: called with the runs done and the runs in all, as far as that is known.

    Returns:
        float32 [channels] by value; 0 where a channel held infinities or NaN.

    Raises:
        UnknownName: a value that no such node makes, or that isn't in the twin.
        BadValue: there are no feeds.
        InputError, ModelFileError, RunFailed, WorkerError: one of them can't be read or run.
    """
    quantized = read_typed(twin)
    # Inside, so that a file beside it can't have the name of one beside the float model.
    files.load_weights(quantized, twin)
    typed = at_opset_of(quantized, read_typed(model), path=model)
    channels = {node.output[0]: (node, count) for node, count in _weighted(typed)}
    for value in values:
        if value not in channels:
            raise UnknownName(
                kind="value that a weighted node makes", asked=value, available=sorted(channels)
            )
    probe = Probe(typed)
    names = adopt_twins(probe, typed, quantized, values=values, path=twin)
    folds: dict[str, Fold] = {}
    asked: dict[str, tuple[str, str]] = {}
    for value, name in names.items():
        node, count = channels[value]
        shift = probe.node("Sub", name, value)
        if node.op_type in _CONVOLUTIONS:
            whole = probe.reduced("ReduceSum", probe.planes(shift, count), 0, 2)
        else:
            whole = probe.reduced("ReduceSum", probe.rows(shift, count), 0)
        size = probe.node("Size", shift)
        asked[value] = probe.answer(whole, count), probe.answer(size, dtype=TensorProto.INT64)
        folds |= dict.fromkeys(asked[value], Fold("sum"))
    if not folds:
        return {}
    with Watch(model, scratch=scratch, wall_s=wall_s, progress=progress) as watch:
        kept = watch.run(probe, feeds, folds=folds)
    found = {}
    for value, (whole, size) in asked.items():
        count = channels[value][1]
        mean = kept[whole] / max(float(kept[size]) / count, 1.0)
        found[value] = np.where(np.isfinite(mean), mean, 0.0).astype(np.float32)
    return found


def correct(model: Any, shifts: Mapping[str, Array]) -> tuple[str, ...]:
    """Take mean shifts back in a float model's biases, in place.

    The bias is a Conv's or Gemm's own, or the constant of the Add behind a MatMul; where there is
    none, one is added.

    Args:
        model: what `elements.read_typed` gave, its weights loaded.
        shifts: what `mean_shifts` found.

    Returns:
        The labels of the nodes whose shift was taken back, in the order of the graph.
    """
    graph = model.graph
    constants = Constants(graph)
    done = []
    for node, _ in _weighted(model):
        value = node.output[0]
        shift = shifts.get(value)
        if shift is None or not shift.any():
            continue
        done.append(label(node))
        if node.op_type == "MatMul":
            _correct_behind(graph, constants, node, shift=shift)
        elif len(node.input) > 2 and node.input[2] and constants.array(node, 2) is None:
            _correct_behind(graph, constants, node, shift=shift)  # its bias is computed
        else:
            bias = constants.array(node, 2)
            beta = float_attribute(node, "beta", 1.0) if node.op_type == "Gemm" else 1.0
            if beta == 0:
                _correct_behind(graph, constants, node, shift=shift)
            else:
                constants.put(node, 2, array=(0.0 if bias is None else bias) - shift / beta)
    return tuple(done)


def _weighted(model: Any) -> list[tuple[Any, int]]:
    """List the nodes with a constant weight, and how many channels each makes."""
    dims = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    found = []
    for node in model.graph.node:
        if node.domain not in _ONNX or node.op_type not in (*_CONVOLUTIONS, *_PRODUCTS):
            continue
        shape = dims.get(node.input[1], ())
        if node.input[0] in dims:
            continue
        if node.op_type == "Conv" and len(shape) > 2:
            found.append((node, shape[0]))
        elif node.op_type == "ConvTranspose" and len(shape) > 2:
            found.append((node, shape[1] * whole_attribute(node, "group", 1)))
        elif node.op_type in _PRODUCTS and len(shape) == 2:
            turned = node.op_type == "Gemm" and whole_attribute(node, "transB", 0)
            found.append((node, shape[0] if turned else shape[1]))
    return found


def _correct_behind(graph: Any, constants: Constants, node: Any, *, shift: Array) -> None:
    """Take a shift back in the Add behind a node, or in a new one.

    MatMul ─▶ y ─▶ …      ▶      MatMul ─▶ y_shifted ─▶ Add(-shift) ─▶ y ─▶ …
    """
    value = node.output[0]
    across = shift.reshape(-1, *[1] * (_spatial(constants, node)))
    readers = [other for other in graph.node if value in other.input]
    held = {output.name for output in graph.output}
    held |= {name for other in graph.node for name in captured(other)}
    if len(readers) == 1 and value not in held and readers[0].op_type == "Add":
        (reader,) = readers
        place = 1 if reader.input[0] == value else 0
        bias = constants.array(reader, place)
        if bias is not None and bias.ndim and bias.size == bias.shape[-1] == len(shift):
            constants.put(reader, place, array=bias - shift)
            return
    # The node keeps the name by which it is known.
    node.name = label(node)
    node.output[0] = constants.fresh(f"{value}_shifted")
    bias_name = constants.add(f"{value}_unshift", -across)
    made = helper.make_node("Add", [node.output[0], bias_name], [value], name=bias_name)
    after = next(place for place, other in enumerate(graph.node) if other is node)
    graph.node.insert(after + 1, made)


def _spatial(constants: Constants, node: Any) -> int:
    """Count the axes behind the channels of what a node makes."""
    weight = constants.array(node, 1)
    return weight.ndim - 2 if weight is not None and node.op_type in _CONVOLUTIONS else 0
