"""Microsoft's DirectML, in the package onnxruntime-directml for Windows. Not tried by edgekit."""

from __future__ import annotations

from edgekit.package.values import QuantRules, Target
from edgekit.providers import built_in, options
from edgekit.providers.info import ProviderInfo, not_told
from edgekit.terms import Scheme


def _quantized(scheme: Scheme, target: Target) -> QuantRules | str:
    """Say what ONNX Runtime fuses for DirectML: the CPU's patterns but Gemm and Mul.

    (core/optimizer/qdq_transformer/selectors_actions/qdq_selector_action_transformer.cc names the
    providers of each pattern.)
    """
    del target
    match scheme:
        case "fp16":
            return QuantRules()
        case "bf16":
            return "DirectML has no bfloat16"
        case "int8-static":
            return QuantRules(
                operators=(
                    *("Add", "Concat", "Conv", "Flatten", "MatMul", "MaxPool", "Reshape", "Slice"),
                    *("Squeeze", "Transpose", "Unsqueeze"),
                )
            )
        case "int8-dynamic":
            return QuantRules(operators=("MatMul",))
    return QuantRules(operators=("Gemm", "MatMul"))


PROVIDER = ProviderInfo(
    name="directml",
    ort_name="DmlExecutionProvider",
    extra="",
    summary="any GPU with DirectX 12, on Windows",
    packages=("onnxruntime-directml",),
    precisions=("float32", "float16", "int8"),
    tried=False,
    options={
        "device_id": options.number("which GPU, as Windows counts them", high=63),
        "disable_metacommands": options.flag("use no kernels of the GPU's maker"),
        "enable_graph_capture": options.flag("record a call's kernels and replay them"),
    },
    diagnosed=built_in.diagnose,
    translated=options.translate,
    computing=not_told,
    quantized=_quantized,
)
