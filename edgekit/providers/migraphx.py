"""AMD's MIGraphX, in the package onnxruntime-migraphx for Linux. Not tried by edgekit yet."""

from __future__ import annotations

from edgekit.package.values import QuantRules, Target
from edgekit.providers import built_in, options
from edgekit.providers.info import ProviderInfo, not_told
from edgekit.terms import Scheme


def _quantized(scheme: Scheme, target: Target) -> QuantRules | str:
    """Say what MIGraphX takes: Q/DQ with zero point 0, which is how it quantizes itself.

    (ROCm/AMDMIGraphX#2203: DynamicQuantizeLinear splits a model between it and the CPU.)
    """
    del target
    match scheme:
        case "fp16":
            return QuantRules()
        case "int8-static":
            return QuantRules(
                activation="int8", symmetric=True, operators=("Conv", "Gemm", "MatMul")
            )
        case "int4-weight":
            return QuantRules(operators=("Gemm", "MatMul"))
        case "int8-weight":
            return "its MatMulNBits knows 4 bits alone"
        case "bf16":
            return "edgekit knows no list of its operators in bfloat16"
    return "operators that quantize as they run would leave for the CPU provider"


PROVIDER = ProviderInfo(
    name="migraphx",
    ort_name="MIGraphXExecutionProvider",
    extra="",
    summary="AMD GPUs through ROCm and MIGraphX, on Linux",
    packages=("onnxruntime-migraphx",),
    precisions=("float32", "float16", "int8"),
    tried=False,
    options={
        "device_id": options.number("which GPU, as ROCm counts them", high=63),
        "migraphx_exhaustive_tune": options.flag("try every kernel while building"),
    },
    companions=(),
    diagnosed=built_in.diagnose,
    translated=options.translate,
    computing=not_told,
    quantized=_quantized,
)
