"""Apple's Core ML, part of onnxruntime's builds for macOS and iOS. Not tried by edgekit yet."""

from __future__ import annotations

from edgekit.package.values import QuantRules, Target
from edgekit.providers import built_in, options
from edgekit.providers.info import ProviderInfo, not_told
from edgekit.terms import Scheme


def _quantized(scheme: Scheme, target: Target) -> QuantRules | str:
    """Take floats alone: ONNX Runtime hands Core ML no QuantizeLinear and no MatMulNBits.

    (Lists of operators in "CoreML execution provider", both formats.)
    """
    del target
    if scheme == "fp16":
        return QuantRules()
    return "ONNX Runtime hands it no node with integers: they would run on the CPU provider"


PROVIDER = ProviderInfo(
    name="coreml",
    ort_name="CoreMLExecutionProvider",
    extra="cpu",
    summary="Apple's neural engine, GPU and processor through Core ML, on macOS",
    packages=(),
    precisions=("float32", "float16"),
    tried=False,
    options={
        "ModelFormat": options.word("how the model is handed on", ("MLProgram", "NeuralNetwork")),
        "MLComputeUnits": options.word(
            "what may be used",
            ("ALL", "CPUOnly", "CPUAndGPU", "CPUAndNeuralEngine"),
        ),
        "RequireStaticInputShapes": options.flag("leave nodes with open sizes to the CPU"),
        "EnableOnSubgraphs": options.flag("also inside loops and branches"),
        "AllowLowPrecisionAccumulationOnGPU": options.flag("add up in float16"),
    },
    diagnosed=built_in.diagnose,
    translated=options.translate,
    computing=not_told,
    quantized=_quantized,
)
