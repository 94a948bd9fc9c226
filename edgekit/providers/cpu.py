"""ONNX Runtime's own CPU provider: always there, and what every other provider is held against."""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.package.values import QuantRules, SessionChoice, Target
from edgekit.providers import built_in, options
from edgekit.providers.info import ProviderInfo
from edgekit.providers.targets import ARM, adds_up_in_16_bits
from edgekit.terms import Scheme

_SHORT = ("fp16", "bf16")


def _computes(choice: SessionChoice, precision: str, environment: Mapping[str, str]) -> str:
    """Say of short floats that few operators have kernels for them on a processor.

    ONNX Runtime puts casts around all others, which then compute in float32.
    """
    del choice, environment
    return f"{precision}, mostly by way of fp32" if precision in _SHORT else precision


def _precautions(precision: str) -> dict[str, str]:
    """Leave out a fusion that takes the process down as it loads an fp16 model.

    Measured on 1.31.1 and 1.32.0: a Transpose in front of a MatMul, both float16, is a
    segmentation fault at the highest graph level.
    """
    if precision != "fp16":
        return {}
    return {"optimization.disable_specified_optimizers": "MatmulTransposeFusion"}


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
    return QuantRules(
        activation="int8" if target.arch == ARM and scheme == "int8-static" else "uint8",
        weight_bits=7 if adds_up_in_16_bits(target) else 8,
        operators=STATIC if scheme == "int8-static" else DYNAMIC,
    )


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
)
