"""What rounding does to a node's own answer: a cheap estimate of what quantizing it costs.

Every node gets a twin over rounded inputs and rounded weights, fed with the float model's own
values, so that one pass over a few cases tells of all nodes at once, and of each alone:

    x ─▶ MatMul(W) ─▶ y                          noise  = sum (y' - y)²
    └─▶ round ─▶ MatMul(round W) ─▶ y'           signal = sum y²

The ratio of noise to signal is the reciprocal of the SQNR. Those of a chain of nodes add up at its
end, as Lin, Talathi and Annapureddy, "Fixed point quantization of deep convolutional networks"
(ICML 2016), derive; where a node's answer is added to a larger one the model's own noise is smaller
than that sum. So it ranks suspects, and is no measurement of the model.

Activations are rounded over the range that they have in each case; what a scheme reads off all its
cases is at least as wide.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgekit.graph.summary import external_files
from edgekit.measure.ways import How, variant_call
from edgekit.package.values import PORTABLE, QuantRules, SessionChoice
from edgekit.quantize import files
from edgekit.quantize.additions import Additions
from edgekit.quantize.elements import FLOAT, element_types, label, read_typed, subgraphs
from edgekit.quantize.searching.evaluation import ratio
from edgekit.quantize.weights import as_int8
from edgekit.tensors import Array, Feed
from edgekit.terms import Scheme
from edgekit.workers import Worker

_FIRST_OPSET = 13
"""From here on there are per-tensor quantization, bfloat16 and inputs for axes."""

_AXES = {"Conv": 0, "ConvTranspose": 1, "GRU": 1, "LSTM": 1, "MatMul": -1, "RNN": 1}
"""Which axis of a node's weights its channels lie on; Gemm's depends on its attributes."""

_BLOCK = 32


class Rounding(msgspec.Struct, frozen=True):
    """How a scheme rounds: activations to a type, or not at all; weights to so many bits.

    `bits` are those of weights as integers, None where they are rounded as activations are;
    `block` is how many weights of a row share a scale, 0 for a whole channel, or for all of them
    where `per_channel` is not set. `rows` says that each row of a table has a scale of its own.
    """

    activation: Literal["uint8", "int8", "float16", "bfloat16"] | None = None
    bits: int | None = None
    per_channel: bool = True
    block: int = 0
    rows: bool = False


def rounding_of(scheme: Scheme, rules: QuantRules, *, block_size: int | None = None) -> Rounding:
    """Say how a scheme rounds under a target's rules."""
    if scheme == "fp16":
        return Rounding("float16")
    if scheme == "bf16":
        return Rounding("bfloat16")
    if scheme in ("int8-weight", "int4-weight"):
        bits = 4 if scheme == "int4-weight" else 8
        return Rounding(None, bits, block=block_size or _BLOCK, rows=True)
    rows = scheme == "int8-dynamic"
    return Rounding(rules.activation, rules.weight_bits, rules.per_channel, rows=rows)


def local_noise(
    model: Path,
    feeds: Iterable[Feed],
    nodes: Collection[str],
    *,
    rounding: Rounding,
    scratch: Path,
    wall_s: float = 600.0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Measure the noise-to-signal ratio of each node's own answer, its inputs and weights rounded.

    Args:
        model: the float model's .onnx file.
        feeds: what goes in, one call each; a few are enough.
        nodes: labels of the nodes, see `elements.label`.
        rounding: how inputs and weights are rounded.
        scratch: a folder for the model with the twins.
        wall_s: how long loading, or a single run, may take.
        progress: called with the feeds done and the feeds in all.

    Returns:
        The ratio of powers over all feeds, by node, for all that can have a twin: not those that
        hold graphs of their own, nor any in a model of an opset before 13.

    Raises:
        ModelFileError, RunFailed, WorkerError: it can't be read or run.
    """
    typed = read_typed(model)
    outside = files.load_weights(typed, model)
    twins = _Twins(typed, rounding)
    if twins.opset >= _FIRST_OPSET:
        twins.add(set(nodes))
    if not twins.answers:
        return {}
    path = scratch / "twins.onnx"
    files.save(typed, path, external_data=outside)
    noises = dict.fromkeys(twins.answers, 0.0)
    signals = dict.fromkeys(twins.answers, 0.0)
    listed = list(feeds)
    with Worker(f"rounding the nodes of {model.name} one by one", wall_s=wall_s) as worker:
        # Further rewrites would take a pair of casts out that rounds.
        how = How(SessionChoice(graph_level="basic"))
        worker.open(variant_call(path, PORTABLE, how))
        for done, feed in enumerate(listed):
            if progress is not None:
                progress(done, len(listed))
            outputs = worker.run(feed).outputs
            for name, (noise, signal) in twins.answers.items():
                noises[name] += _finite(outputs[noise])
                signals[name] += _finite(outputs[signal])
    for name in external_files(path):
        (scratch / name).unlink()
    path.unlink()
    return {name: ratio(noises[name], signals[name]) for name in twins.answers}


class _Twins:
    """A model that gets a twin a node.

    Attributes:
        answers: by node, the outputs that hold its noise and its signal.
        opset: that of the model.
    """

    def __init__(self, model: Any, rounding: Rounding) -> None:
        self._graph = model.graph
        self._rounding = rounding
        self._add = Additions(model.graph)
        self._types = element_types(model)
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._rounded: dict[tuple[str, int | None], str] = {}
        self.answers: dict[str, tuple[str, str]] = {}
        self.opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))

    def add(self, names: Collection[str]) -> None:
        """Give every named node a twin, and the model two answers for each."""
        for node in list(self._graph.node):
            out = next((o for o in node.output if self._types.get(o) == FLOAT), None)
            if label(node) not in names or out is None or any(True for _ in subgraphs(node)):
                continue
            twin = onnx.NodeProto.FromString(node.SerializeToString())
            twin.name = ""
            for index, name in enumerate(node.input):
                if self._types.get(name) == FLOAT:
                    twin.input[index] = self._round(name, node)
            for index, name in enumerate(node.output):
                twin.output[index] = self._add.fresh(f"{name}_twin") if name else ""
            self._graph.node.append(twin)
            error = self._add.node("Sub", [twin.output[list(node.output).index(out)], out])
            self.answers[label(node)] = (self._power(error), self._power(out))

    def _round(self, name: str, node: Any) -> str:
        """Name the rounded form of what goes into a node."""
        kind, bits = self._rounding.activation, self._rounding.bits
        axis = _axis_of(node) if self._rounding.per_channel else None
        if node.op_type == "Gather" and self._rounding.rows:
            axis = 0
        if name in self._weights and bits is not None:
            if len(self._weights[name].dims) < 2:
                return name  # a bias has 32 bits
            key = name, axis
            if key not in self._rounded:
                self._rounded[key] = self._weight(name, axis, bits, self._rounding.block)
            return self._rounded[key]
        key = name, None
        if key not in self._rounded:
            self._rounded[key] = self._activation(name, kind) if kind is not None else name
        return self._rounded[key]

    def _activation(self, name: str, kind: str) -> str:
        if kind == "uint8":
            integers, scale, zero = (self._add.fresh(f"{name}_{part}") for part in ("q", "s", "z"))
            quantize = helper.make_node("DynamicQuantizeLinear", [name], [integers, scale, zero])
            self._graph.node.append(quantize)
            return self._add.node("DequantizeLinear", [integers, scale, zero])
        if kind == "int8":
            largest = self._add.node(
                "ReduceMax", [self._add.node("Abs", [name])], attributes={"keepdims": 0}
            )
            tiny = self._add.constant("tiny", np.array(np.finfo(np.float32).tiny, np.float32))
            top = self._add.constant("top", np.array(127, np.float32))
            scale = self._add.node("Div", [self._add.node("Max", [largest, tiny]), top])
            steps = self._add.node("Round", [self._add.node("Div", [name, scale])])
            return self._add.node("Mul", [steps, scale])
        to = TensorProto.FLOAT16 if kind == "float16" else TensorProto.BFLOAT16
        short = self._add.node("Cast", [name], attributes={"to": to})
        return self._add.node("Cast", [short], attributes={"to": TensorProto.FLOAT})

    def _weight(self, name: str, axis: int | None, bits: int, block: int) -> str:
        array = numpy_helper.to_array(self._weights[name])
        return self._add.constant(
            f"{name}_rounded", rounded_weight(array, axis, bits=bits, block=block)
        )

    def _power(self, name: str) -> str:
        return self._add.answer(
            self._add.node("ReduceSumSquare", [name], attributes={"keepdims": 0})
        )


def rounded_weight(array: Array, axis: int | None, *, bits: int, block: int = 0) -> Array:
    """Round weights to integers and back to float32.

    Args:
        array: float32, two axes or more.
        axis: the axis of the channels; None for one scale in all.
        bits: of the integers.
        block: how many weights of a channel share a scale, in the order in which they lie; 0 for
            all of the channel.
    """
    if not block or axis is None:
        integers, scale = as_int8(array, axis=axis, bits=bits)
        others = (
            () if axis is None else tuple(i for i in range(array.ndim) if i != axis % array.ndim)
        )
        whole: Array = (integers * np.expand_dims(scale, others)).astype(np.float32)
        return whole
    rows = np.moveaxis(array, axis, 0)
    flat = rows.reshape(len(rows), -1)
    padded = np.pad(flat, ((0, 0), (0, -flat.shape[1] % block)))
    integers, scale = as_int8(padded.reshape(-1, block), axis=0, bits=bits)
    wide: Array = (integers * scale[:, None]).astype(np.float32).reshape(padded.shape)
    back: Array = np.moveaxis(wide[:, : flat.shape[1]].reshape(rows.shape), 0, axis)
    return back


def _axis_of(node: Any) -> int | None:
    if node.op_type == "Gemm":
        turned = any(a.name == "transB" and a.i for a in node.attribute)
        return 0 if turned else 1
    return _AXES.get(node.op_type)


def _finite(answer: Any) -> float:
    value = float(np.asarray(answer))
    return value if np.isfinite(value) else float(np.finfo(np.float32).max)
