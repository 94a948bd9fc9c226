"""int8 with ranges read off each call: nothing to calibrate.

It pays where weights are read: products with constant matrices, LSTMs, large tables. Convolutions
stay in float: integer ones whose ranges come at run time are slower on every CPU measured.

One range for all that goes into a product is fastest. Where outliers make that too coarse on real
values, under 21 dB, the product takes what goes in in blocks of a row: 6 of a sentence encoder's 36
products, in its feed-forward parts, which takes it from cosine 0.992 to 0.997 and costs a tenth of
its speed. An LSTM's kernel knows one range alone: where that is off by a third of a middling
channel, under 10 dB, the LSTM stays in float, as the first of a speaker encoder's, which hears a
mel spectrum: with it in 8 bits the encoder has cosine 0.74, without it 0.9995.

Outliers are moved into the weights (SmoothQuant) only where that is asked for: it gave 0.997 for
sentences like those that it looked at and 0.991 for longer ones.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from edgekit.errors import BadValue
from edgekit.package.values import QuantRules, Recipe
from edgekit.quantize import files
from edgekit.quantize.elements import FLOAT, element_types, label, read_typed
from edgekit.quantize.measuring.outlying import sqnr_of_8_bits
from edgekit.quantize.measuring.smoothing import channel_maxima, gains, smooth, smoothable
from edgekit.quantize.operators.integer_lstm import refuses_lstm, replace_lstm
from edgekit.quantize.operators.integer_products import (
    BLOCK_SIZE,
    Inputs,
    multiply_around_outliers,
    multiply_in_integers,
)
from edgekit.quantize.operators.products import product_of
from edgekit.quantize.operators.replacing import Rules, listed, rewrite
from edgekit.quantize.operators.rewriting import Rewriting
from edgekit.quantize.operators.row_tables import refuses_table, take_int8_rows
from edgekit.quantize.saturation import refuse_saturating
from edgekit.quantize.scheme import Made, SchemeInfo, Work, Write

COARSE_DB = 21.0
"""Where rounding moves a middling channel by 9 % of itself, each block gets its own range."""

LOST_DB = 10.0
"""Where rounding moves a middling channel by a third of itself, an LSTM stays in float."""

_LOOKED_AT = 16
"""Cases that are enough to see outliers: they sit in the same channels in every case."""

_FIRST_OPSET = 11
"""ONNX has had DynamicQuantizeLinear since then."""

_WEIGHTS = {"Gather": (0,), "Gemm": (1,), "LSTM": (1, 2), "MatMul": (1,)}

_NO_KERNEL = "there is no integer kernel for it"
_STAYS = {
    "Attention": "the product of its weights can't be taken out of it",
    "Conv": "integer convolutions with ranges of each call are slower than float ones",
    "ConvTranspose": _NO_KERNEL,
    "FusedMatMul": "its transpositions have no integer form",
    "GRU": _NO_KERNEL,
    "RNN": _NO_KERNEL,
}


def prepare(work: Work) -> Write:
    """See on real values, if there are, which products meet outliers.

    Raises:
        BadValue: smoothing is asked for and there are no values, or it can't be done so.
    """
    order = [label(node) for node in read_typed(work.model).graph.node]
    source, smooth_at = _smoothed(work)
    typed = read_typed(source)
    ratios, cases = _fineness(work, typed, source)

    def write(output: Path, keep_float: Collection[str]) -> Made:
        in_blocks: list[str] = []
        done = rewrite(
            source,
            output,
            rules=_rules(work.rules, ratios, in_blocks, opset=_opset(typed)),
            weights=_WEIGHTS,
            keep_float=keep_float,
            stays=_STAYS,
            operators=work.rules.operators,
            becomes="int8 with dynamic ranges",
            fold_scales=work.rules.per_channel,  # with one scale in all, small ones would be lost
        )
        refuse_saturating(output, work.target)
        notes = (
            f"what goes in has outliers, so ranges are read off blocks of {BLOCK_SIZE} values, at "
            f"{listed(in_blocks)}",
        )
        return Made(
            recipe=Recipe(
                "int8-dynamic",
                keep_float=tuple(name for name in order if name in set(keep_float)),
                rules=work.rules,
                smooth=smooth_at,
                block_size=BLOCK_SIZE if in_blocks else None,
            ),
            files=done.files,
            nodes=done.nodes,
            kept=done.kept,
            cases=cases,
            notes=notes if in_blocks else (),
        )

    return write


def _rules(
    rules: QuantRules, ratios: Mapping[str, float], in_blocks: list[str], *, opset: int
) -> Rules:
    """Say what becomes of each operator; products that are done in blocks add their label.

    `ratios` has the SQNR in 8 bits of what goes into nodes, as far as it was measured.
    """
    inputs = Inputs()

    def product(rewriting: Rewriting, node: Any) -> str | None:
        found = product_of(rewriting, node)
        if isinstance(found, str):
            return found
        if ratios.get(found.source, math.inf) < COARSE_DB:
            multiply_around_outliers(rewriting, found)
            in_blocks.append(label(node))
        elif opset < _FIRST_OPSET:
            return f"its model is of opset {opset}, and integers came with {_FIRST_OPSET}"
        else:
            multiply_in_integers(rewriting, found, rules=rules, inputs=inputs)
        return ""

    def lstm(rewriting: Rewriting, node: Any) -> str | None:
        why = refuses_lstm(rewriting, node)
        ratio = ratios.get(node.input[0], math.inf)
        if not why and ratio < LOST_DB:
            return f"one range for all that goes in would lose its small channels ({ratio:.0f} dB)"
        if not why:
            replace_lstm(rewriting, node, rules=rules)
        return why

    def table(rewriting: Rewriting, node: Any) -> str | None:
        why = refuses_table(rewriting, node)
        if why == "":
            inputs.tables.append(take_int8_rows(rewriting, node, bits=rules.weight_bits))
        return why

    return {"Gather": table, "Gemm": product, "LSTM": lstm, "MatMul": product}


def _smoothed(work: Work) -> tuple[Path, float | None]:
    """Write the model with its outliers moved into its weights where that is asked for and gains.

    Returns the model to go on with, and the exponent if it is another.
    """
    alpha = work.settings.smooth
    if not alpha:
        return work.model, None
    if not work.cases:
        raise BadValue(
            what="smoothing", asked=f"{alpha:g} without real values", expected="calibration data"
        )
    model = read_typed(work.model)
    maxima = channel_maxima(
        work.model,
        work.feeds,
        list(smoothable(model)),
        scratch=work.scratch,
        wall_s=work.wall_s,
        progress=work.progress,
    )
    outside = files.load_weights(model, work.model)
    gained = gains(model, maxima, alpha=alpha)
    chosen = {value: found for value, found in maxima.items() if gained.get(value, 0.0) > 0}
    if not smooth(model, chosen, alpha=alpha):
        return work.model, None
    path = work.scratch / ".smoothed.onnx"  # no variant is called so
    files.save(model, path, external_data=outside)
    return path, alpha


def _fineness(work: Work, typed: Any, source: Path) -> tuple[dict[str, float], int]:
    """Measure how well 8 bits with one range hold what goes into products and LSTMs.

    Returns the SQNR in dB by value, and how many cases told.
    """
    channels = _channels(typed)
    looked_at = min(work.cases, _LOOKED_AT)
    if not looked_at or not channels:
        return {}, 0
    ratios = sqnr_of_8_bits(
        source,
        islice(work.feeds(), looked_at),
        channels=channels,
        scratch=work.scratch,
        wall_s=work.wall_s,
        progress=work.progress,
    )
    return ratios, looked_at


def _channels(typed: Any) -> dict[str, int]:
    """Name what goes into products and LSTMs and isn't constant, and the size of its last axis."""
    graph = typed.graph
    types = element_types(typed)
    shapes = {tensor.name: tensor.dims for tensor in graph.initializer}
    known = {
        value.name: value.type.tensor_type.shape.dim
        for value in (*graph.input, *graph.value_info)
        if value.type.tensor_type.HasField("shape")
    }
    channels: dict[str, int] = {}
    for node in graph.node:
        source = node.input[0] if node.input else ""
        if types.get(source) != FLOAT or source in shapes:
            continue
        if node.op_type in ("Gemm", "MatMul"):
            weight, options = shapes.get(node.input[1], ()), _options(node)
            if len(weight) == 2 and not options.get("transA", 0):
                channels[source] = weight[options.get("transB", 0)]
        elif node.op_type == "LSTM" and known.get(source) and known[source][-1].dim_value:
            channels[source] = known[source][-1].dim_value
    return channels


def _options(node: Any) -> dict[str, int]:
    return {attribute.name: attribute.i for attribute in node.attribute}


def _opset(typed: Any) -> int:
    return next((o.version for o in typed.opset_import if o.domain in ("", "ai.onnx")), 0)


SCHEME = SchemeInfo(
    name="int8-dynamic",
    precision="int8",
    target="cpu",
    summary="8-bit integers whose ranges are read off each call: nothing to calibrate",
    where="It pays on CPUs for transformers and LSTMs; convolutions and GRUs stay in float.",
    prepare=prepare,
    takes=("smooth",),
)
