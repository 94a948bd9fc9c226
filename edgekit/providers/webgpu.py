"""WebGPU as a plug-in provider, package onnxruntime-ep-webgpu. Not tried by edgekit yet."""

from __future__ import annotations

from edgekit.package.values import QuantRules, Target
from edgekit.providers import options, plugin
from edgekit.providers.info import Plugin, ProviderInfo, not_told
from edgekit.terms import Scheme


def _quantized(scheme: Scheme, target: Target) -> QuantRules | str:
    """Take floats and weights of fewer bits: it has MatMulNBits and no product of integers.

    (Release notes of the plug-in, "Operator coverage".)
    """
    del target
    match scheme:
        case "fp16":
            return QuantRules()
        case "int8-weight" | "int4-weight":
            return QuantRules(operators=("Gemm", "MatMul"))
        case "bf16":
            return "WebGPU has no bfloat16"
    return "it has no products of integers; int4-weight and fp16 gain there"


PROVIDER = ProviderInfo(
    name="webgpu",
    ort_name="WebGpuExecutionProvider",
    extra="",
    summary="GPUs of any maker through Vulkan, Metal or DirectX 12",
    packages=("onnxruntime-ep-webgpu",),
    precisions=("float32", "float16"),
    tried=False,
    options={"preferredLayout": options.word("how images lie in memory", ("NCHW", "NHWC"))},
    plugin=Plugin("onnxruntime-ep-webgpu"),
    diagnosed=plugin.diagnose("a GPU with a driver for Vulkan, Metal or DirectX 12"),
    translated=options.translate,
    computing=not_told,
    quantized=_quantized,
)
