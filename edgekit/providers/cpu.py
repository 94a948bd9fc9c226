"""ONNX Runtime's own CPU provider: always there, and what every other provider is held against."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from edgekit.package.values import GraphFacts, QuantRules, SessionChoice, Target
from edgekit.providers import built_in, options
from edgekit.providers.info import DISABLED, ProviderInfo
from edgekit.providers.targets import ARM, X86, adds_up_in_16_bits
from edgekit.terms import Scheme

_SHORT = ("fp16", "bf16")


def _computes(choice: SessionChoice, precision: str, environment: Mapping[str, str]) -> str:
    """Say of short floats that few operators have kernels for them on a processor.

    ONNX Runtime puts casts around all others, which then compute in float32.
    """
    del choice, environment
    return f"{precision}, mostly by way of fp32" if precision in _SHORT else precision


def _precautions(precision: str) -> dict[str, str]:
    """Leave out a rewrite of float16 graphs.

    A Transpose in front of a MatMul, both float16, can be a segmentation fault at the highest graph
    level as it loads, measured on 1.31.0 to 1.32.0. A file that `quantize` made has none such
    (`edgekit.quantize.floats.batch_turns`); one from elsewhere may.
    """
    return {DISABLED: "MatmulTransposeFusion"} if precision == "fp16" else {}


STATIC = (
    *("Add", "Concat", "Conv", "Expand", "Flatten", "Gather", "GatherElements", "Gemm"),
    *("LeakyRelu", "MatMul", "MaxPool", "Mul", "Reshape", "Resize", "Sigmoid", "Slice"),
    *("Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"),
)
"""Operators that ONNX Runtime turns into ones of integers where Q/DQ stand around them, read from
its selectors (core/optimizer/qdq_transformer/selectors_actions). AveragePool and Softmax
are left out, which it could too: they gain little and round what they average or squeeze. A Sigmoid
between integers is a table of 256 entries: without it EfficientNet is slower than in float32.
ConvTranspose has no such kernel."""

DYNAMIC = ("Attention", "Gather", "Gemm", "LSTM", "MatMul")
"""Operators whose activations ONNX Runtime quantizes as it runs. Conv could be one (ConvInteger)
and is slower than in float32 on every processor that was measured."""

WEIGHT_ONLY = ("Gather", "Gemm", "MatMul")

_STEM = 32
"""Products below which a convolution of an image that is pooled stays float, where that was
measured: on processors with VNNI (`edgekit.quantize.qdq.stems`)."""
_DEPTHWISE, _DEPTHWISE_512 = 49, 25
"""Products from which a convolution of single channels stays float between floats, on x86-64; fewer
with AVX-512, where float kernels compute twice as much at once (`edgekit.quantize.qdq.depthwise`).
"""


def _quantized(scheme: Scheme, target: Target) -> QuantRules | str:
    """Say what integers ONNX Runtime's own kernels are fast and right in.

    Its documentation ("Quantize ONNX models", data type selection) wants uint8 activations and int8
    weights on x86-64, both int8 on ARM64, and 7-bit weights where there is no VNNI.
    """
    match scheme:
        case "fp16":
            return QuantRules()
        case "bf16":
            return "few of its operators have kernels for it, and a model of them can't be loaded"
        case "int8-weight" | "int4-weight":
            return QuantRules(operators=WEIGHT_ONLY)
    sums_16 = adds_up_in_16_bits(target)
    depthwise = _DEPTHWISE_512 if "avx512_vnni" in (target.isa or ()) else _DEPTHWISE
    stem = _STEM if target.arch == X86 and not sums_16 and scheme == "int8-static" else 0
    return QuantRules(
        activation="int8" if target.arch == ARM and scheme == "int8-static" else "uint8",
        weight_bits=7 if sums_16 else 8,
        operators=STATIC if scheme == "int8-static" else DYNAMIC,
        stem_products=stem,
        float_depthwise=depthwise if target.arch == X86 and scheme == "int8-static" else 0,
    )


def _alternatives(
    choice: SessionChoice, facts: GraphFacts, threads: int
) -> tuple[SessionChoice, ...]:
    """Say what can make a processor faster.

    Fewer threads wait for each other less, and threads that stay awake between calls are there at
    once. Convolutions in blocks of channels aren't faster where there are few channels. A layer
    norm that is fused with the sum in front of it is slower on short rows.
    """
    replace = msgspec.structs.replace
    fewer = dict.fromkeys(n for n in (threads // 2, 1) if 0 < n < threads)
    found = [replace(choice, threads=n) for n in fewer]
    if threads > 1:
        found.append(replace(choice, idle="spin"))
    if facts.operators.get("Conv"):
        found.append(replace(choice, graph_level="extended"))
    if facts.operators.get("LayerNormalization"):
        apart = {DISABLED: "SkipLayerNormFusion"}
        found.append(replace(choice, session_options={**choice.session_options, **apart}))
    return tuple(found)


PROVIDER = ProviderInfo(
    name="cpu",
    ort_name="CPUExecutionProvider",
    extra="cpu",
    summary="any processor, x86-64 and ARM",
    packages=(),
    precisions=("float32", "int8"),
    tried=True,
    diagnosed=built_in.diagnose,
    translated=options.translate,
    computing=_computes,
    precautions=_precautions,
    without=("bf16",),
    quantized=_quantized,
    alternatives=_alternatives,
)
